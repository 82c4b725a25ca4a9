# iot_bats(FOLDER NAME [LABELS ...]): FOLDER/NAME.bats as the ctest entry FOLDER/NAME.
find_program(BATS bats)
function(iot_bats folder name)
	if(BATS)
		add_test(NAME ${folder}/${name} COMMAND ${BATS} ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${name}.bats)
		set_tests_properties(${folder}/${name} PROPERTIES TIMEOUT 300 LABELS ${folder}
			ENVIRONMENT "IOTCTL_BIN=${PROJECT_BINARY_DIR}/bin;IOTCTL_BUILD=${PROJECT_BINARY_DIR};BATS_TEST_TIMEOUT=240")
	else()
		add_test(NAME ${folder}/${name} COMMAND false)
		set_tests_properties(${folder}/${name} PROPERTIES DISABLED TRUE) # shown as "Not Run" in the summary
	endif()
endfunction()

iot_bats(e2e story)
add_executable(e2e_talk e2e/talk.c)
target_link_libraries(e2e_talk PRIVATE iot_transport)
iot_bats(e2e restart)
iot_bats(e2e claim)
iot_bats(e2e access)
iot_bats(e2e faults)
iot_bats(e2e device_protocol)
iot_bats(e2e shadow)
iot_bats(e2e expresslink)
iot_bats(e2e messages)
