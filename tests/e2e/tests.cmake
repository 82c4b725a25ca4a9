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
