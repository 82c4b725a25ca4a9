/*
 * The replies of the Jobs service, and afr_ota job documents, as a FreeRTOS OTA
 * agent reads them (OTA library 3.4, Jobs library: members and limits; AWS IoT
 * developer guide, "Jobs device MQTT API operations").
 */
#ifndef IOTCTL_SIM_JOBDOC_H
#define IOTCTL_SIM_JOBDOC_H

#include "iotctl/image.h"
#include "iotctl/json.h"
#include "sim/slots.h"

#define SIM_STREAM_NAME_MAX 44 /* of both FreeRTOS libraries */
#define SIM_ENDPOINT_MAX 256

/*
 * Codes in the reason of a FAILED job ("0x000000e3: signature check failed").
 * Those of the OTA library's OtaErr_t and OtaPalMainStatus_t; see also
 * iotctl-sim(1).
 */
enum sim_fault_code {
	SIM_FAULT_DOCUMENT = 0x0c,  /* OtaErrJobParserError: the job document is not one we can carry out */
	SIM_FAULT_PROTOCOL = 0x0d,  /* OtaErrInvalidDataProtocol: no protocol we speak */
	SIM_FAULT_NO_DATA = 0x0e,   /* OtaErrMomentumAbort: requests for blocks are not answered */
	SIM_FAULT_OLDER = 0x0f,     /* OtaErrDowngradeNotAllowed */
	SIM_FAULT_SAME = 0x10,      /* OtaErrSameFirmwareVersion */
	SIM_FAULT_STATE = 0x11,     /* OtaErrImageStateMismatch: not in the test the cloud thinks of; reverted */
	SIM_FAULT_SIZE = 0x17,      /* OtaErrFileSizeOverflow: larger than the slot */
	SIM_FAULT_SIGNATURE = 0xe3, /* OtaPalSignatureCheckFailed */
	SIM_FAULT_STORAGE = 0xe4,   /* OtaPalRxFileCreateFailed: cannot write the slot */
	SIM_FAULT_IMAGE = 0xe8,     /* OtaPalBadImageState: signed, but not an image of this board */
	SIM_FAULT_ACTIVATE = 0xec   /* OtaPalActivateFailed */
};

struct sim_fault {
	enum sim_fault_code code;
	char text[100];
};

struct sim_job {
	char job_id[SIM_JOB_ID_MAX + 1];
	char self_test[16]; /* statusDetails.self_test: "ready", "active" or "" */
	bool has_updated_by;
	uint32_t updated_by; /* statusDetails.updatedBy */
	char stream[SIM_STREAM_NAME_MAX + 1];
	uint32_t file_id;
	uint32_t size;
	const struct iot_image_scheme *scheme;
	char signature[IOT_IMAGE_SIGNATURE_MAX]; /* base64 */
	int file_type;                           /* 0 if absent */
	bool force;                              /* "force": "YES" anywhere an ExpressLink module looks for it */
	/* Of a job for new trust (iotctl-trust(7)): */
	char endpoint[SIM_ENDPOINT_MAX + 1]; /* "": stays */
	int port;                            /* 0: stays */
	const char *root_ca;                 /* PEM, borrowed from the reply; NULL: stays */
};

enum sim_job_kind {
	SIM_JOB_NONE,   /* nothing is pending */
	SIM_JOB_OTA,    /* *ret_job is complete */
	SIM_JOB_TRUST,  /* another endpoint or root CA; *ret_job has job_id and these */
	SIM_JOB_BAD,    /* ret_job->job_id is set, *ret_fault says what is wrong with the rest */
	SIM_JOB_FOREIGN /* not a reply we understand at all: ignore it */
};

/* Look at the member `execution` of a reply or notification. */
enum sim_job_kind sim_job_read(const json_t *reply, struct sim_job *ret_job, struct sim_fault *ret_fault);

/*
 * The same for an ExpressLink module: file types matter, and whether there has to
 * be a signature depends on them. Without one scheme is NULL and signature "".
 */
enum sim_job_kind sim_job_read_module(const json_t *reply, struct sim_job *ret_job, struct sim_fault *ret_fault);

/* "0x000000e3: signature check failed"; out holds 129 bytes. Returns out. */
char *sim_fault_text(const struct sim_fault *fault, char out[129]);

#endif
