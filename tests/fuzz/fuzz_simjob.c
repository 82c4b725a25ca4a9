/* The software device's reading of job executions: what is accepted must be within the device's limits. */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "sim/jobdoc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_fault fault = {0};
	struct sim_job job;
	IOT_JSON reply = NULL;
	char text[129];

	if (iot_json_parse((const char *)data, size, "fuzz", &reply, NULL) != IOT_OK)
		return 0;
	switch (sim_job_read(reply, &job, &fault)) {
	case SIM_JOB_OTA:
		if (job.job_id[0] == '\0' || job.stream[0] == '\0' || strpbrk(job.job_id, "/+#") != NULL ||
		    strpbrk(job.stream, "/+#") != NULL || job.size == 0 || job.size > SIM_SLOT_SIZE ||
		    job.file_id > 255 || job.scheme == NULL || job.scheme->legacy)
			abort();
		break;
	case SIM_JOB_TRUST:
		if (job.job_id[0] == '\0' || (job.endpoint[0] == '\0' && job.root_ca == NULL) || job.port < 0 ||
		    job.port > 65535 || strpbrk(job.endpoint, "/ @?#") != NULL)
			abort();
		break;
	case SIM_JOB_BAD:
		if (job.job_id[0] == '\0' || sim_fault_text(&fault, text)[0] == '\0')
			abort();
		break;
	default:
		break;
	}
	return 0;
}
