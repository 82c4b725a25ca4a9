/*
 * What a module's error codes and connection hints mean to the person at the
 * bench, and what to do about each (programmer's guide, "Error codes", "CONNECT").
 */
#include "iotctl/expresslink.h"

#include "iotctl/base.h"

static const struct iot_el_fault errors[] = {
	{1, "OVERFLOW", "the command was longer than the module can take",
	 "use a shorter value, or a certificate without its text part"},
	{2, "PARSE ERROR", "the command was malformed when it arrived",
	 "check speed, ground and wires of the serial line"},
	{3, "COMMAND NOT FOUND", "the module does not know the command", "update the module's firmware"},
	{4, "PARAMETER ERROR", "the value is not valid, or longer than the module can keep", "use a shorter value"},
	{5, "INVALID ESCAPE", "an escape in the command was malformed when it arrived",
	 "check speed, ground and wires of the serial line"},
	{6, "NO CONNECTION", "the module is not connected", "connect it first (AT+CONNECT)"},
	{7, "OUT OF RANGE", "the index is larger than the module supports", "see its data sheet for the largest one"},
	{8, "PARAMETER UNDEFINED", "nothing is configured under this index",
	 "set the topic first (AT+CONF Topic1=...)"},
	{9, "INVALID KEY LENGTH", "the name of the setting is too long", NULL},
	{10, "INVALID KEY NAME", "the name of the setting has a character that is no letter or digit", NULL},
	{11, "UNKNOWN KEY", "the module has no such setting",
	 "its firmware is too old for it, or it has no such radio"},
	{12, "KEY READONLY", "the setting cannot be written", NULL},
	{13, "KEY WRITEONLY", "the setting cannot be read", NULL},
	{14, "UNABLE TO CONNECT", "the module cannot connect", NULL},
	{15, "TIME NOT AVAILABLE", "the module does not know the time", "let it connect once"},
	{16, "LOCATION NOT AVAILABLE", "the module does not know where it is", NULL},
	{17, "MODE NOT AVAILABLE", "the module does not have this mode", NULL},
	{18, "ACTIVE CONNECTION", "the module does not do this while it is connected",
	 "disconnect it first (AT+DISCONNECT)"},
	{19, "HOST IMAGE NOT AVAILABLE", "the module holds no image for the host", NULL},
	{20, "INVALID ADDRESS", "the address lies outside of the image", NULL},
	{21, "INVALID OTA UPDATE", "no update is there, or its signature or certificate is not right",
	 "check that the module holds the code-signing certificate that the update was signed for"},
	{22, "INVALID QUERY", "the question is not valid", NULL},
	{23, "INVALID SIGNATURE", "the signature does not match the certificate that the module holds",
	 "sign with the key that the module knows; a factory reset (AT+FACTORY_RESET) forgets its host certificate, "
	 "but also endpoint and Wi-Fi"},
	{24, "SHADOW ERROR", "the shadow is not in a state for this",
	 "enable it (EnableShadow=1) and initialise it first"},
	{25, "NOT ALLOWED", "the module is busy with something else, or in configuration mode",
	 "wait for it to end, or reset the module (AT+RESET)"},
	{26, "INVALID CERTIFICATE", "the module does not accept the certificate",
	 "give it one PEM certificate with a P-256 or RSA-2048 key"},
	{27, "BLE ERROR", "the Bluetooth operation failed", NULL},
	{28, "CONFIGURATION ERROR", "the configuration is not complete or not right", NULL},
	{29, "INSUFFICIENT SECURITY", "the Bluetooth peer asks for pairing first", NULL},
};

static const struct iot_el_fault hints[] = {
	{1, "BACK-OFF", "it waits before it tries again, since it failed before", "wait a little and try again"},
	{2, "NETWORK ACCESS", "it does not get onto the network",
	 "check Wi-Fi name and password (or APN and SIM), and that the network is in reach"},
	{3, "ENDPOINT UNREACHABLE", "the endpoint's name does not resolve or nobody answers there",
	 "check that 'iotctl serve' runs, listens on an address that the module can reach, and on port 8883"},
	{4, "TLS AUTHENTICATION", "the TLS handshake failed",
	 "the module's root CA must be that of the broker's certificate, which must carry the endpoint's name; and "
	 "the broker must know the module's certificate"},
	{5, "MQTT LOGIN", "the broker refused the login",
	 "the certificate must be ACTIVE, attached to the thing, and its policy must allow iot:Connect"},
	{6, "JOBS REGISTRATION", "the subscription to its jobs was refused",
	 "its policy must allow iot:Subscribe and iot:Receive on $aws/things/NAME/jobs/*"},
};

static const struct iot_el_fault unknown_error = {-1, "", "the module gave an error of its own", "see its data sheet"};
static const struct iot_el_fault unknown_hint = {-1, "", "it does not say why", "see its data sheet"};

static const struct iot_el_fault *find(const struct iot_el_fault *faults, size_t count, int code,
				       const struct iot_el_fault *unknown)
{
	for (size_t i = 0; i < count; i++)
		if (faults[i].code == code)
			return &faults[i];
	return unknown;
}

const struct iot_el_fault *iot_el_error(int code)
{
	return find(errors, IOT_LENGTH(errors), code, &unknown_error);
}

const struct iot_el_fault *iot_el_hint(int hint)
{
	return find(hints, IOT_LENGTH(hints), hint, &unknown_hint);
}
