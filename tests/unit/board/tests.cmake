iot_unit(board/test_words iot_board)
iot_unit(board/test_at iot_board)
iot_unit(board/test_expresslink iot_board)
iot_fuzz(at iot_board)
