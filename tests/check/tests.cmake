# Checks of the sources themselves.
add_test(NAME check/generated COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check/generated.sh $<TARGET_FILE:iotctl_docgen>
	${PROJECT_SOURCE_DIR})
set_tests_properties(check/generated PROPERTIES TIMEOUT 120 LABELS check)

# iot_check(NAME COMMAND...): exit code 77 is a skip, which ctest's summary names.
function(iot_check name)
	add_test(NAME check/${name} COMMAND ${ARGN})
	set_tests_properties(check/${name} PROPERTIES TIMEOUT 600 LABELS check SKIP_RETURN_CODE 77)
endfunction()

iot_check(layers ${CMAKE_CURRENT_SOURCE_DIR}/check/layers.sh)
iot_check(headers ${CMAKE_CURRENT_SOURCE_DIR}/check/headers.sh)
iot_check(text ${CMAKE_CURRENT_SOURCE_DIR}/check/text.sh)
iot_check(cppcheck ${CMAKE_CURRENT_SOURCE_DIR}/check/static.sh cppcheck ${PROJECT_BINARY_DIR})
iot_check(clang-tidy ${CMAKE_CURRENT_SOURCE_DIR}/check/static.sh clang-tidy ${PROJECT_BINARY_DIR})
