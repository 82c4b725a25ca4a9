/* The serial ports of this machine, as libserialport finds them. */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/serial.h"

#include <libserialport.h>
#include <unistd.h>

static const char *transport_name(enum sp_transport transport)
{
	switch (transport) {
	case SP_TRANSPORT_USB:
		return "usb";
	case SP_TRANSPORT_BLUETOOTH:
		return "bluetooth";
	default:
		return "native";
	}
}

static json_t *describe(struct sp_port *port)
{
	const char *path = sp_get_port_name(port);
	IOT_CLEAN(iot_free_p) char *user = iot_serial_user(path, NULL);
	json_t *record = json_object();
	int vendor, product;
	char id[8];

	iot_json_set_str(record, "port", path);
	iot_json_set_str(record, "description", sp_get_port_description(port));
	iot_json_set_str(record, "transport", transport_name(sp_get_port_transport(port)));
	if (sp_get_port_transport(port) == SP_TRANSPORT_USB) {
		if (sp_get_port_usb_vid_pid(port, &vendor, &product) == SP_OK) {
			snprintf(id, sizeof(id), "%04x", (unsigned)vendor & 0xffff);
			iot_json_set_str(record, "vendorId", id);
			snprintf(id, sizeof(id), "%04x", (unsigned)product & 0xffff);
			iot_json_set_str(record, "productId", id);
		}
		iot_json_set_str(record, "manufacturer", sp_get_port_usb_manufacturer(port));
		iot_json_set_str(record, "product", sp_get_port_usb_product(port));
		iot_json_set_str(record, "serialNumber", sp_get_port_usb_serial(port));
	}
	iot_json_set_str(record, "usedBy", user);
	return record;
}

enum iot_status iot_serial_ports(json_t **ret_records, struct iot_error *err)
{
	struct sp_port **ports = NULL;
	json_t *records;

	if (access("/sys/class/tty", R_OK) != 0) { /* a container without /sys shows no devices */
		*ret_records = json_array();
		return IOT_OK;
	}
	if (sp_list_ports(&ports) != SP_OK)
		return iot_fail(err, IOT_BOARD, "cannot list the serial ports of this machine");
	records = json_array();
	for (size_t i = 0; ports[i] != NULL; i++)
		json_array_append_new(records, describe(ports[i]));
	sp_free_port_list(ports);
	*ret_records = records;
	return IOT_OK;
}
