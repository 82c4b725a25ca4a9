/*
 * A distribution may confine mosquitto with AppArmor to its own folders. Then it
 * cannot read a fleet directory that its user can read, and says only that it
 * cannot open a file. This file recognises that and names the cure.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <string.h>

#define PROFILES_MAX (256 * 1024)

/* A line of the kernel's list: "/usr/sbin/mosquitto (enforce)". */
static bool is_enforced(const char *profiles)
{
	for (const char *at = strstr(profiles, "mosquitto"); at != NULL; at = strstr(at + 1, "mosquitto")) {
		size_t len = strcspn(at, "\n");
		const char *mode = strstr(at, "(enforce)");

		if (mode != NULL && mode < at + len)
			return true;
	}
	return false;
}

bool serve_apparmor_confines(const char *root)
{
	IOT_CLEAN(iot_free_p) char *list = iot_strf("%s/sys/kernel/security/apparmor/profiles", root);
	IOT_CLEAN(iot_free_p) char *enabled = iot_strf("%s/sys/module/apparmor/parameters/enabled", root);
	IOT_CLEAN(iot_free_p) char *profile = iot_strf("%s/etc/apparmor.d/usr.sbin.mosquitto", root);
	struct iot_buf text = IOT_BUF_INIT(PROFILES_MAX);
	bool confines = false;

	if (iot_fs_read(list, &text, NULL) == IOT_OK) {
		confines = is_enforced(iot_buf_str(&text));
	} else {
		/* Only root may read the list; a profile on disk is in force unless it was disabled. */
		iot_buf_clear(&text);
		if (iot_fs_read(enabled, &text, NULL) == IOT_OK && iot_buf_str(&text)[0] == 'Y')
			confines = iot_fs_exists(profile);
	}
	iot_buf_release(&text);
	return confines;
}

enum iot_status serve_apparmor_fail(const struct serve_setup *setup, struct iot_error *err)
{
	iot_fail(err, IOT_SETTINGS, "an AppArmor profile keeps mosquitto out of the fleet directory '%s'",
		 setup->paths.dir);
	iot_error_hint(
		err,
		"'sudo aa-complain %s' lifts it, or allow '%s/** rwk,' in /etc/apparmor.d/local/usr.sbin.mosquitto",
		setup->mosquitto, setup->paths.dir);
	return IOT_SETTINGS;
}
