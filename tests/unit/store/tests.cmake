iot_unit(store/test_store iot_store PkgConfig::SQLITE)
