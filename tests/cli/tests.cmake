# iot_cli_test(NAME): tests/cli/NAME.test, run case by case.
function(iot_cli_test name)
	add_test(NAME cli/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/run.sh ${CMAKE_CURRENT_SOURCE_DIR}/cli/${name}.test)
	set_tests_properties(cli/${name} PROPERTIES TIMEOUT 300 LABELS cli ENVIRONMENT "IOTCTL_BIN=${PROJECT_BINARY_DIR}/bin")
endfunction()

iot_cli_test(device)
iot_cli_test(claim)
iot_cli_test(basics)
iot_cli_test(ota)
iot_cli_test(policy)
iot_cli_test(shadow)
iot_cli_test(layout)
iot_cli_test(publish)
