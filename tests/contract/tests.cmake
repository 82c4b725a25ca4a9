# What a cloud promises, as data: contract/AREA.json is run against every variant of a cloud by one program.
add_executable(contract_cloud contract/test_cloud.c contract/cases.c)
target_link_libraries(contract_cloud PRIVATE iot_cloud)
foreach(area things groups certificates policies shadows)
	add_test(NAME contract/local/${area} COMMAND contract_cloud local contract/${area}.json
		WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests)
	set_tests_properties(contract/local/${area} PROPERTIES TIMEOUT 120 LABELS contract)
endforeach()
