/*
 * Another endpoint or root CA for a software device, beside those in its folder:
 * tried, proved, and only then taken over into device.json and ca.pem. Each step
 * is on the disk before the next begins: sim/trust.json says how far it is, and
 * sim/root-new.pem has the new root CA. A kill is a power cut.
 */
#ifndef IOTCTL_SIM_TRUST_H
#define IOTCTL_SIM_TRUST_H

#include "sim/jobdoc.h"

enum sim_trust_state {
	SIM_TRUST_NONE,
	SIM_TRUST_TRYING,  /* connect with the new one; go back when that fails */
	SIM_TRUST_PROVED,  /* the new one works: report it over the old one, then settle */
	SIM_TRUST_SETTLING /* the files are being taken over */
};

struct sim_trust {
	char *dir; /* of the device */
	enum sim_trust_state state;
	char job_id[SIM_JOB_ID_MAX + 1];
	char endpoint[SIM_ENDPOINT_MAX + 1]; /* "": stays */
	int port;                            /* 0: stays */
	bool has_root;                       /* else that stays */
	char *root_path;
	bool settled; /* sim_trust_open has changed ca.pem or device.json */
};

/* What was left by the last boot; settling goes on here. A damaged file is nothing: the old trust is there. */
IOT_CHECK enum iot_status sim_trust_open(const char *dir, struct sim_trust *ret, struct iot_error *err);
void sim_trust_release(struct sim_trust *trust);

/* Keep what a job brings; it is to be tried from now on. */
IOT_CHECK enum iot_status sim_trust_stage(struct sim_trust *trust, const struct sim_job *job, struct iot_error *err);
/* It works. */
IOT_CHECK enum iot_status sim_trust_proved(struct sim_trust *trust, struct iot_error *err);
/* Take it over; the old one is gone afterwards. Nothing is left to be done. */
IOT_CHECK enum iot_status sim_trust_settle(struct sim_trust *trust, struct iot_error *err);
/* It is not wanted: nothing but the old one is left. */
IOT_CHECK enum iot_status sim_trust_forget(struct sim_trust *trust, struct iot_error *err);

#endif
