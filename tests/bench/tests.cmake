# What tests/bench/run measures with. Measured figures mean something in the release preset only; bench/smoke just proves
# that every measure works.
function(iot_bench name)
	add_executable(bench_${name} bench/bench_${name}.c)
	target_link_libraries(bench_${name} PRIVATE ${ARGN})
endfunction()

iot_bench(startup iot_base)
iot_bench(fill iot_store)
iot_bench(ota_bare iot_flags PkgConfig::MOSQUITTO)
iot_bench(ota_device iot_sim)
iot_bench(policy iot_policy)
iot_bench(journal iot_fleet)
iot_bench(api iot_crypto PkgConfig::OPENSSL Threads::Threads)
iot_bench(aws iot_flags PkgConfig::CURL Threads::Threads)
iot_bench(gateway iot_cloud iot_transport iot_crypto PkgConfig::OPENSSL)
iot_bench(plugin iot_plugin_plain PkgConfig::MOSQUITTO PkgConfig::OPENSSL)
target_include_directories(bench_plugin PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit/broker)

# The yardstick of start-up: linked with exactly what iotctl turned out to need, sanitizers aside.
set(needed ${CMAKE_CURRENT_BINARY_DIR}/bench_needed.txt)
add_custom_command(OUTPUT ${needed} DEPENDS iotctl VERBATIM COMMAND sh -c
	"readelf -d \"$1\" | sed -n '/san\\.so/d; s/.*(NEEDED).*\\[\\(.*\\)\\]/-l:\\1/p' >\"$2\"" sh $<TARGET_FILE:iotctl> ${needed})
add_custom_target(bench_needed DEPENDS ${needed})
add_executable(bench_empty bench/bench_empty.c)
target_link_options(bench_empty PRIVATE -Wl,-z,relro,-z,now -Wl,--no-as-needed @${needed})
add_dependencies(bench_empty bench_needed)
set_property(TARGET bench_empty APPEND PROPERTY LINK_DEPENDS ${needed})

add_custom_target(bench DEPENDS iotctl bench_startup bench_fill bench_ota_bare bench_ota_device bench_policy bench_plugin bench_api
	bench_journal bench_gateway bench_empty)

add_test(NAME bench/smoke COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/run --smoke --build ${PROJECT_BINARY_DIR})
set_tests_properties(bench/smoke PROPERTIES TIMEOUT 300 LABELS bench)
