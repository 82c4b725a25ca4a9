iot_unit(transport/test_process iot_transport)
iot_unit(transport/test_mqtt iot_transport iot_crypto)
iot_unit(transport/test_serial iot_transport)
iot_unit(transport/test_http iot_transport)
