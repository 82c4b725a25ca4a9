# What a cloud promises, as data: contract/AREA.json is run against every variant of a cloud by one program.
add_executable(contract_cloud contract/test_cloud.c contract/cases.c)
target_link_libraries(contract_cloud PRIVATE iot_cloud iot_fleet iot_broker pthread)
target_include_directories(contract_cloud PRIVATE ${PROJECT_SOURCE_DIR}/src)
foreach(area things groups certificates policies shadows)
	foreach(variant local api)
		add_test(NAME contract/${variant}/${area} COMMAND contract_cloud ${variant} contract/${area}.json
			WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests)
		set_tests_properties(contract/${variant}/${area} PROPERTIES TIMEOUT 120 LABELS contract)
	endforeach()
endforeach()
