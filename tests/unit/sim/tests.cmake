iot_unit(sim/test_slots iot_sim)
iot_unit(sim/test_agent iot_sim)

# A broker that delivers as AWS does, for whole software devices.
add_library(sim_direct_delivery MODULE unit/sim/direct_delivery.c)
target_link_libraries(sim_direct_delivery PRIVATE iot_flags_plain iot_mosquitto_plugin)
iot_unit(sim/test_device iot_sim)
target_compile_definitions(unit_sim_test_device PRIVATE DELIVERY_PLUGIN="$<TARGET_FILE:sim_direct_delivery>")
add_dependencies(unit_sim_test_device sim_direct_delivery)
iot_fuzz(simjob iot_sim)
iot_unit(sim/test_topics iot_sim)
iot_unit(sim/test_behaviour iot_sim)
iot_fuzz(behaviour iot_sim)

iot_unit(sim/test_board_at iot_sim)
iot_unit(sim/test_expresslink_at iot_sim)
iot_unit(sim/test_expresslink_dictionary iot_sim)
iot_fuzz(expresslink iot_sim)
iot_unit(sim/test_trust iot_sim)
