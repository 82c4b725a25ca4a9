iot_unit(board/test_words iot_board)
iot_unit(board/test_at iot_board)
iot_unit(board/test_expresslink iot_board)
iot_unit(board/test_sim7600 iot_board)
iot_fuzz(sim7600 iot_sim)
iot_fuzz(at iot_board)
iot_unit(board/test_credential iot_board)
# The simulated chip behind a debug probe, and OpenOCD to reach it.
add_executable(swdsim swdsim/main.c swdsim/buspirate.c swdsim/wire.c swdsim/port.c swdsim/core.c swdsim/chip_stm32f1.c swdsim/chip_nrf52.c)
target_link_libraries(swdsim PRIVATE iot_flags)
iot_unit(board/test_swd iot_board)
target_compile_definitions(unit_board_test_swd PRIVATE SWDSIM="$<TARGET_FILE:swdsim>"
	SWD_TARGETS="${PROJECT_SOURCE_DIR}/src/board/descriptions")
add_dependencies(unit_board_test_swd swdsim)
set_tests_properties(unit/board/swd PROPERTIES TIMEOUT 300) # a run of OpenOCD for each step
iot_fuzz(credential iot_board)
iot_fuzz(console iot_board)
iot_unit(board/test_nrf91 iot_sim)
iot_fuzz(nrf91 iot_board)
iot_fuzz(description iot_board)
iot_unit(board/test_dialects iot_sim)
set_tests_properties(unit/board/dialects PROPERTIES TIMEOUT 300) # every dialect, unplugged and on bad wires
