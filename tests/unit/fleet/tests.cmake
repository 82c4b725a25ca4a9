iot_unit(fleet/test_layout iot_fleet)
iot_unit(fleet/test_messaging iot_fleet)
iot_fuzz(layout iot_fleet)
iot_unit(fleet/test_provision iot_fleet)
