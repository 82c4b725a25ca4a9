iot_unit(gateway/test_queue iot_gateway)
target_include_directories(unit_gateway_test_queue PRIVATE ${PROJECT_SOURCE_DIR}/src)
iot_unit(gateway/test_policies iot_gateway)
target_include_directories(unit_gateway_test_policies PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
