# Checks of the sources themselves.
add_test(NAME check/generated COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check/generated.sh $<TARGET_FILE:iotctl_docgen>
	${PROJECT_SOURCE_DIR})
set_tests_properties(check/generated PROPERTIES TIMEOUT 120 LABELS check)
