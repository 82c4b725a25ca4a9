# The broker plugin's decisions: bench_plugin
add_executable(bench_plugin EXCLUDE_FROM_ALL bench/bench_plugin.c)
target_link_libraries(bench_plugin PRIVATE iot_plugin_plain PkgConfig::MOSQUITTO PkgConfig::OPENSSL)
target_include_directories(bench_plugin PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit/broker)
