/* OTA updates: the document that devices get, what must be refused, and how a failed creation shows. */
#include "jobs_fixture.h"

/* base64 of base64 of a signature, as the service wants it; devices get SIGNATURE_TEXT. */
#define SIGNATURE_TEXT "MEUCIQDabc0="
#define SIGNATURE "TUVVQ0lRRGFiYzA9"
#define SIGNING(signature)                                                                                             \
	"'codeSigning': {'customCodeSigning': {'signature': {'inlineDocument': '" signature                            \
	"'}, 'certificateChain': {'certificateName': 'codesign.pem'}, 'hashAlgorithm': 'SHA256', "                     \
	"'signatureAlgorithm': "                                                                                       \
	"'ECDSA'}}"
#define IMAGE(key) "'fileLocation': {'s3Location': {'bucket': 'demo', 'key': '" key "'}}"
#define UPDATE(files) "{'otaUpdateId': 'u', 'targets': ['" ARN "thing/t'], 'roleArn': '" ROLE "', 'files': [" files "]}"

static char image[65];

static void test_document(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *reply, *document;
	const char *stream;

	add_thing("t");
	add_image('a', 100, image);
	reply = CALL(
		"CreateOTAUpdate", "",
		"{'otaUpdateId': 'u', 'description': 'new', 'targets': ['" ARN
		"thing/t'], 'protocols': ['MQTT'], 'roleArn': '" ROLE
		"', 'awsJobTimeoutConfig': {'inProgressTimeoutInMinutes': 60}, 'awsJobAbortConfig': "
		"{'abortCriteriaList': [{'failureType': 'ALL', 'action': 'CANCEL', 'thresholdPercentage': 50, "
		"'minNumberOfExecutedThings': 1}]}, 'files': [{'fileName': 'firmware.bin', 'fileVersion': '1.1.0', "
		"'fileType': 0, " IMAGE("%s") ", " SIGNING(SIGNATURE) "}]}",
		image);
	EXPECT(reply, "otaUpdateStatus", "'CREATE_COMPLETE'");
	EXPECT(reply, "awsIotJobId", "'AFR_OTA-u'");
	EXPECT(reply, "awsIotJobArn", "'" ARN "job/AFR_OTA-u'");
	json_decref(reply);

	reply = CALL("iot-jobs-data:StartNextPendingJobExecution", "", "{'thingName': 't'}");
	ASSERT_OK(iot_json_parse(json_string_value(at(reply, "execution.jobDocument")),
				 json_string_length(at(reply, "execution.jobDocument")), "document", &document, &err),
		  &err);
	EXPECT(document, "afr_ota.protocols", "['MQTT']");
	EXPECT(document, "afr_ota.files.0.filepath", "'firmware.bin'");
	EXPECT(document, "afr_ota.files.0.filesize", "100");
	EXPECT(document, "afr_ota.files.0.fileid", "0");
	EXPECT(document, "afr_ota.files.0.certfile", "'codesign.pem'");
	EXPECT(document, "afr_ota.files.0.fileType", "0");
	EXPECT(document, "afr_ota.files.0.sig-sha256-ecdsa", "'" SIGNATURE_TEXT "'");
	stream = json_string_value(at(document, "afr_ota.streamname"));
	CU_ASSERT(iot_starts_with(stream, "AFR_OTA-") && strlen(stream) <= 44);
	EXPECT_CALL("streamInfo.files.0.s3Location.bucket", "'demo'", "DescribeStream", "{'streamId': '%s'}", stream);
	json_decref(reply);

	reply = CALL("GetOTAUpdate", "", "{'otaUpdateId': 'u'}");
	EXPECT(reply, "otaUpdateInfo.otaUpdateStatus", "'CREATE_COMPLETE'");
	EXPECT(reply, "otaUpdateInfo.description", "'new'");
	EXPECT(reply, "otaUpdateInfo.targets", "['" ARN "thing/t']");
	EXPECT(reply, "otaUpdateInfo.otaUpdateFiles.0.fileVersion", "'1.1.0'");
	EXPECT(reply, "otaUpdateInfo.errorInfo", "null");
	CU_ASSERT_STRING_EQUAL(
		json_string_value(at(reply, "otaUpdateInfo.otaUpdateFiles.0.fileLocation.stream.streamId")), stream);
	json_decref(reply);
	json_decref(document);
	EXPECT_CALL("job.timeoutConfig.inProgressTimeoutInMinutes", "60", "DescribeJob", "{'jobId': 'AFR_OTA-u'}");
	EXPECT_CALL("job.abortConfig.criteriaList.0.failureType", "'ALL'", "DescribeJob", "{'jobId': 'AFR_OTA-u'}");
}

static void test_refusals(void)
{
	add_thing("t");
	add_image('a', 100, image);
#define REFUSED(files) DO("CreateOTAUpdate", "InvalidRequestException", UPDATE(files), image)
	REFUSED("{" IMAGE("%s") ", " SIGNING("TUVV!") "}");
	REFUSED("{" IMAGE("%s") ", " SIGNING("MEUCIQDa") "}"); /* encoded once: the devices would get bytes */
	REFUSED("{" IMAGE("%s") ", " SIGNING("") "}");
	REFUSED("{" IMAGE("%s") ", 'codeSigning': {'awsSignerJobId': 'x'}}");
	REFUSED("{" IMAGE("%s") ", 'codeSigning': {'customCodeSigning': {'signature': {'inlineDocument': '" SIGNATURE
				"'}, 'hashAlgorithm': 'MD5', 'signatureAlgorithm': 'ECDSA'}}}");
	REFUSED("{" IMAGE("%s") ", 'fileType': 256}");
	REFUSED("{'fileName': 'x%.1s'}");
	DO("CreateOTAUpdate", "InvalidRequestException",
	   "{'otaUpdateId': 'u', 'targets': ['t'], 'roleArn': '" ROLE "', 'files': [{" IMAGE("%s") "}]}", image);
	DO("CreateOTAUpdate", "ResourceNotFoundException",
	   "{'otaUpdateId': 'u', 'targets': ['" ARN "thing/gone'], 'roleArn': '" ROLE
	   "', 'files': [{" IMAGE("%s") "}]}",
	   image);
	DO("CreateOTAUpdate", "InvalidRequestException",
	   "{'otaUpdateId': 'u', 'targets': ['" ARN "thing/t'], 'protocols': ['HTTP'], 'roleArn': '" ROLE
	   "', 'files': [{" IMAGE("%s") "}]}",
	   image);
	DO("CreateOTAUpdate", "InvalidRequestException",
	   "{'otaUpdateId': '%057d', 'targets': ['" ARN "thing/t'], 'roleArn': '" ROLE
	   "', 'files': [{" IMAGE("%s") "}]}",
	   7, image);
	DO("GetOTAUpdate", "ResourceNotFoundException", "{'otaUpdateId': 'u'}");
	EXPECT_CALL("jobs", "[]", "ListJobs", "{}");
	EXPECT_CALL("streams", "[]", "ListStreams", "{}");
}

static void test_failed_creation(void)
{
	json_t *reply;

	add_thing("t");
	add_image('a', 100, image);
	image[0] = image[0] == '0' ? '1' : '0';
	EXPECT_CALL("otaUpdateStatus", "'CREATE_FAILED'", "CreateOTAUpdate", UPDATE("{" IMAGE("%s") "}"), image);
	reply = CALL("GetOTAUpdate", "", "{'otaUpdateId': 'u'}");
	EXPECT(reply, "otaUpdateInfo.otaUpdateStatus", "'CREATE_FAILED'");
	EXPECT(reply, "otaUpdateInfo.errorInfo.code", "'ResourceNotFoundException'");
	CU_ASSERT_PTR_NOT_NULL(strstr(json_string_value(at(reply, "otaUpdateInfo.errorInfo.message")), image));
	json_decref(reply);
	EXPECT_CALL("jobs", "[]", "ListJobs", "{}");
	EXPECT_CALL("streams", "[]", "ListStreams", "{}");
	EXPECT_OUTBOX("");
	EXPECT_CALL("otaUpdates.0.otaUpdateId", "'u'", "ListOTAUpdates", "{'otaUpdateStatus': 'CREATE_FAILED'}");
	EXPECT_CALL("otaUpdates", "[]", "ListOTAUpdates", "{'otaUpdateStatus': 'CREATE_COMPLETE'}");
	DO("DeleteOTAUpdate", "", "{'otaUpdateId': 'u'}");
	/* The job's name is taken: not the update's to delete afterwards. */
	add_image('a', 100, image);
	add_job("AFR_OTA-u", "t", "");
	EXPECT_CALL("otaUpdateStatus", "'CREATE_FAILED'", "CreateOTAUpdate", UPDATE("{" IMAGE("%s") "}"), image);
	DO("DeleteOTAUpdate", "", "{'otaUpdateId': 'u', 'forceDeleteAWSJob': true}");
	EXPECT_JOB("AFR_OTA-u", "'IN_PROGRESS'");
}

static void test_own_stream(void)
{
	add_thing("t");
	add_image('a', 100, image);
	DO("CreateStream", "",
	   "{'streamId': 's', 'roleArn': '" ROLE "', 'files': [{'fileId': 9, 's3Location': {'bucket': 'local', "
	   "'key': '%s'}}]}",
	   image);
	EXPECT_CALL("otaUpdateStatus", "'CREATE_FAILED'", "CreateOTAUpdate",
		    UPDATE("{'fileLocation': {'stream': {'streamId': 's', 'fileId': 8}}}"));
	DO("DeleteOTAUpdate", "", "{'otaUpdateId': 'u', 'deleteStream': false}");
	EXPECT_CALL("otaUpdateStatus", "'CREATE_COMPLETE'", "CreateOTAUpdate",
		    UPDATE("{'fileLocation': {'stream': {'streamId': 's', 'fileId': 9}}}"));
	DO("CreateOTAUpdate", "ResourceAlreadyExistsException",
	   UPDATE("{'fileLocation': {'stream': {'streamId': 's', 'fileId': 9}}}"));
	EXPECT_CALL("execution.jobDocument",
		    "'{\\\"afr_ota\\\":{\\\"protocols\\\":[\\\"MQTT\\\"],\\\"streamname\\\":\\\"s\\\",\\\"files\\\":"
		    "[{\\\"filepath\\\":\\\"\\\",\\\"filesize\\\":100,\\\"fileid\\\":9,\\\"certfile\\\":\\\"\\\"}]}}'",
		    "iot-jobs-data:DescribeJobExecution", "{'thingName': 't', 'jobId': '$next'}");
}

static void test_delete(void)
{
	add_thing("t");
	add_image('a', 100, image);
	DO("CreateOTAUpdate", "", UPDATE("{" IMAGE("%s") "}"), image);
	DO("DeleteOTAUpdate", "InvalidRequestException", "{'otaUpdateId': 'u'}");
	/* The stream of a job that goes on cannot go; then the update does not go either. */
	DO("DeleteOTAUpdate", "", "{'otaUpdateId': 'u', 'forceDeleteAWSJob': true, 'deleteStream': true}");
	DO("DeleteOTAUpdate", "ResourceNotFoundException", "{'otaUpdateId': 'u'}");
	DO("DescribeJob", "ResourceNotFoundException", "{'jobId': 'AFR_OTA-u'}");
	EXPECT_CALL("streams", "[]", "ListStreams", "{}");
	/* Without being asked it leaves a finished job and the stream where they are. */
	DO("CreateOTAUpdate", "", UPDATE("{" IMAGE("%s") "}"), image);
	finish("t", "AFR_OTA-u", "SUCCEEDED");
	DO("DeleteOTAUpdate", "", "{'otaUpdateId': 'u'}");
	EXPECT_JOB("AFR_OTA-u", "'COMPLETED'");
	EXPECT_CALL("streams.1", "null", "ListStreams", "{}");
}

UNIT_MAIN("cloud/ota", set_up, tear_down, {"document", test_document}, {"refusals", test_refusals},
	  {"failed_creation", test_failed_creation}, {"own_stream", test_own_stream}, {"delete", test_delete})
