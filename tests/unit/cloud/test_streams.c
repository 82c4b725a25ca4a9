/* Images and streams: what may be offered to devices, and which device may fetch what. */
#include "jobs_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM(code, operation, members)                                                                               \
	DO(operation, code, "{'streamId': 's', 'roleArn': '" ROLE "', " members "}", image)

/* A job whose document names stream s. */
static void add_stream_job(const char *job, const char *thing)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *request = json_pack("{s:s, s:[o], s:s}", "jobId", job, "targets", json_sprintf(ARN "thing/%s", thing),
				    "document", "{\"afr_ota\":{\"protocols\":[\"MQTT\"],\"streamname\":\"s\"}}");

	ASSERT_OK(iot_cloud_call(cloud, "CreateJob", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
}

static enum iot_status add_file(const char *path, struct iot_error *err)
{
	char sha256[65] = "";
	int64_t size = 0;

	return iot_local_image_add(cloud, path, sha256, &size, err);
}

static void test_image_add(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char first[65] = "", second[65] = "", *path, *stored;
	struct iot_buf bytes = IOT_BUF_INIT(100000);

	add_image('a', 70000, first);
	stored = iot_path(iot_local_paths(cloud)->images_dir, first);
	ASSERT_OK(iot_fs_read(stored, &bytes, &err), &err);
	CU_ASSERT_EQUAL(bytes.len, 70000);
	/* SHA-256 of "aaa" (FIPS 180-4, as sha256sum prints it). */
	add_image('a', 3, second);
	CU_ASSERT_STRING_EQUAL(second, "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0");
	/* A damaged one is replaced by the same image. */
	ASSERT_OK(iot_fs_write(stored, 0600, "broken", 6, &err), &err);
	add_image('a', 70000, second);
	CU_ASSERT_STRING_EQUAL(first, second);
	iot_buf_clear(&bytes);
	ASSERT_OK(iot_fs_read(stored, &bytes, &err), &err);
	CU_ASSERT_EQUAL(bytes.len, 70000);
	iot_buf_release(&bytes);
	free(stored);

	path = iot_path(dir, "x.bin");
	ASSERT_STATUS(add_file(path, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(add_file(dir, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_fs_write(path, 0600, "", 0, &err), &err);
	ASSERT_STATUS(add_file(path, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "empty");
	CU_ASSERT_EQUAL(truncate(path, 24 * 1024 * 1024 + 1), 0);
	ASSERT_STATUS(add_file(path, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "24 MB");
	CU_ASSERT_EQUAL(truncate(path, 24 * 1024 * 1024), 0);
	ASSERT_OK(add_file(path, &err), &err);
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	ASSERT_OK(iot_fs_check_private(iot_local_paths(cloud)->registry, &err), &err);
	free(path);
}

static int count_files(const char *folder)
{
	char *command = iot_strf("ls -A '%s' | wc -l", folder);
	FILE *pipe = popen(command, "r");
	int count = -1;

	if (pipe != NULL && fscanf(pipe, "%d", &count) != 1)
		count = -1;
	if (pipe != NULL)
		pclose(pipe);
	free(command);
	return count;
}

static void test_image_no_room(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct rlimit old, small;
	char *path = iot_path(dir, "x.bin");

	ASSERT_OK(iot_fs_write(path, 0600, "x", 1, &err), &err);
	CU_ASSERT_EQUAL(truncate(path, 200000), 0);
	/* A file that may not grow any more stands for a disk that is full. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &small);
	ASSERT_STATUS(add_file(path, &err), IOT_FAILURE, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	ASSERT_CONTAINS(err.what, "cannot write");
	CU_ASSERT_EQUAL(count_files(iot_local_paths(cloud)->images_dir), 0);
	free(path);
}

static void test_stream_refusals(void)
{
	char image[65];

	add_image('a', 100, image);
#define LOCATION(bucket) "'s3Location': {'bucket': '" bucket "', 'key': '%s'}"
	STREAM("InvalidRequestException", "CreateStream", "'files': [{'fileId': 256, " LOCATION("demo") "}]");
	STREAM("InvalidRequestException", "CreateStream", "'files': [{" LOCATION("demo") "}]");
	STREAM("InvalidRequestException", "CreateStream", "'files': [{'fileId': 1}], 'description': '%.3s'");
	STREAM("ResourceNotFoundException", "CreateStream", "'files': [{'fileId': 1, " LOCATION("elsewhere") "}]");
	STREAM("ResourceNotFoundException", "CreateStream",
	       "'files': [{'fileId': 1, 's3Location': {'bucket': 'demo', 'key': '../%s'}}]");
	STREAM("ResourceNotFoundException", "CreateStream",
	       "'files': [{'fileId': 1, 's3Location': {'bucket': 'demo', 'key': '%.63s0'}}]");
	DO("CreateStream", "InvalidRequestException",
	   "{'streamId': 's', 'roleArn': '" ROLE
	   "', 'files': [{'fileId': 1, " LOCATION("demo") "}, {'fileId': 1, " LOCATION("local") "}]}",
	   image, image);
	/* Nothing of it stayed. */
	DO("DescribeStream", "ResourceNotFoundException", "{'streamId': 's'}");
	STREAM("", "CreateStream", "'files': [{'fileId': 1, " LOCATION("local") "}]");
	STREAM("ResourceAlreadyExistsException", "CreateStream", "'files': [{'fileId': 1, " LOCATION("demo") "}]");
}

static void test_stream_life(void)
{
	json_t *reply;
	char image[65], other[65];

	add_image('a', 100, image);
	add_image('b', 50, other);
	reply = CALL("CreateStream", "",
		     "{'streamId': 's', 'roleArn': '" ROLE
		     "', 'description': 'one', 'files': [{'fileId': 7, " LOCATION("demo") "}]}",
		     image);
	EXPECT(reply, "streamVersion", "1");
	EXPECT(reply, "streamArn", "'" ARN "stream/s'");
	json_decref(reply);
	reply = CALL("UpdateStream", "", "{'streamId': 's', 'files': [{'fileId': 0, " LOCATION("demo") "}]}", other);
	EXPECT(reply, "streamVersion", "2");
	EXPECT(reply, "description", "'one'");
	json_decref(reply);
	reply = CALL("DescribeStream", "", "{'streamId': 's'}");
	EXPECT(reply, "streamInfo.streamVersion", "2");
	EXPECT(reply, "streamInfo.files.0.fileId", "0");
	EXPECT(reply, "streamInfo.files.0.s3Location.bucket", "'demo'");
	EXPECT(reply, "streamInfo.files.1", "null");
	EXPECT(reply, "streamInfo.roleArn", "'" ROLE "'");
	json_decref(reply);
	DO("CreateStream", "",
	   "{'streamId': 'z', 'roleArn': '" ROLE "', 'files': [{'fileId': 0, " LOCATION("demo") "}]}", image);
	EXPECT_CALL("streams.0.streamId", "'z'", "ListStreams", "{}");
	EXPECT_CALL("streams.0.streamId", "'s'", "ListStreams", "{'ascendingOrder': true, 'maxResults': 1}");
	add_thing("t");
	add_stream_job("j", "t");
	DO("DeleteStream", "DeleteConflictException", "{'streamId': 's'}");
	DO("CancelJob", "", "{'jobId': 'j'}");
	DO("DeleteStream", "", "{'streamId': 's'}");
	DO("DeleteStream", "ResourceNotFoundException", "{'streamId': 's'}");
	DO("UpdateStream", "ResourceNotFoundException", "{'streamId': 's'}");
}

static const char *open_code(const char *thing, const char *stream, int file_id)
{
	static struct iot_error err;
	int64_t size = 0, version = 0;
	char first = 0;
	int fd = -1;

	iot_error_clear(&err);
	if (iot_local_stream_open(cloud, thing, stream, file_id, &fd, &size, &version, &err) != IOT_OK) {
		CU_ASSERT_EQUAL(fd, -1);
		return err.code;
	}
	CU_ASSERT_EQUAL(size, 100);
	CU_ASSERT_EQUAL(version, 1);
	CU_ASSERT_EQUAL(pread(fd, &first, 1, 99), 1);
	CU_ASSERT_EQUAL(first, 'a');
	CU_ASSERT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	close(fd);
	return "";
}

static void test_stream_open(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char image[65], *path;

	add_image('a', 100, image);
	add_thing("t");
	add_thing("u");
	DO("CreateStream", "",
	   "{'streamId': 's', 'roleArn': '" ROLE "', 'files': [{'fileId': 3, " LOCATION("demo") "}]}", image);
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 3), "ResourceNotFound"); /* not told about it yet */
	add_stream_job("j", "t");
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 3), "");
	add_job("other", "u", "");
	CU_ASSERT_STRING_EQUAL(open_code("u", "s", 3), "ResourceNotFound");
	CU_ASSERT_STRING_EQUAL(open_code("nobody", "s", 3), "ResourceNotFound");
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 0), "ResourceNotFound");
	CU_ASSERT_STRING_EQUAL(open_code("t", "%", 3), "ResourceNotFound");
	CU_ASSERT_STRING_EQUAL(open_code("t", "", 3), "ResourceNotFound");
	finish("t", "j", "SUCCEEDED");
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 3), ""); /* it had it: late requests are harmless */
	path = iot_path(iot_local_paths(cloud)->images_dir, image);
	CU_ASSERT_EQUAL(truncate(path, 99), 0);
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 3), "ETagMismatch");
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	CU_ASSERT_STRING_EQUAL(open_code("t", "s", 3), "ResourceNotFound");
	free(path);
}

UNIT_MAIN("cloud/streams", set_up, tear_down, {"image_add", test_image_add}, {"image_no_room", test_image_no_room},
	  {"stream_refusals", test_stream_refusals}, {"stream_life", test_stream_life},
	  {"stream_open", test_stream_open})
