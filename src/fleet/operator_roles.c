/*
 * The shipped roles: one policy document each, for broker and HTTPS API. Every
 * operator connects under client ids of its own, so that it can never take a
 * device's connection.
 */
#include "fleet/operator_private.h"

#include "iotctl/base.h"

#include <string.h>

const char *const iot_operator_roles[] = {"admin", "deploy", "observe", NULL};

#define ARN "arn:aws:iot:local:000000000000:"

#define CONNECT                                                                                                        \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"ConnectAsItself\",\n"                                                                        \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": \"iot:Connect\",\n"                                                                         \
	"      \"Resource\": \"" ARN "client/operator-%s-*\"\n"                                                        \
	"    }"
#define LISTEN                                                                                                         \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"HearEverything\",\n"                                                                         \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": [\"iot:Subscribe\", \"iot:Receive\"],\n"                                                    \
	"      \"Resource\": [\"" ARN "topicfilter/*\", \"" ARN "topic/*\"]\n"                                         \
	"    }"
#define SPEAK                                                                                                          \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"PublishAnything\",\n"                                                                        \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": [\"iot:Publish\", \"iot:RetainPublish\"],\n"                                                \
	"      \"Resource\": \"" ARN "topic/*\"\n"                                                                     \
	"    }"
#define READ                                                                                                           \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"ReadEverything\",\n"                                                                         \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": [\"iot:Describe*\", \"iot:Get*\", \"iot:List*\", \"iot:Search*\",\n"                        \
	"        \"iot:TestAuthorization\", \"iotjobsdata:Describe*\", \"iotjobsdata:Get*\",\n"                        \
	"        \"iotctl:Describe*\", \"iotctl:Get*\", \"iotctl:List*\"],\n"                                          \
	"      \"Resource\": \"*\"\n"                                                                                  \
	"    }"
/* Services, and whoever else listens, would take what an operator says there for a device's word. */
#define NOT_AS_DEVICE                                                                                                  \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"NeverInADevicesName\",\n"                                                                    \
	"      \"Effect\": \"Deny\",\n"                                                                                \
	"      \"Action\": [\"iot:Publish\", \"iot:RetainPublish\"],\n"                                                \
	"      \"Resource\": [\"" ARN "topic/$aws/*\"%s]\n"                                                            \
	"    }"
#define DEPLOY                                                                                                         \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"JobsUpdatesConfigurations\",\n"                                                              \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": [\"iot:*Job\", \"iot:*JobExecution\", \"iot:*JobTemplate\", \"iot:*Stream\",\n"             \
	"        \"iot:*OTAUpdate\", \"iot:UpdateThingShadow\", \"iot:DeleteThingShadow\",\n"                          \
	"        \"iotctl:SetDeviceConfig\", \"s3:*\"],\n"                                                             \
	"      \"Resource\": \"*\"\n"                                                                                  \
	"    }"
#define ADMINISTER                                                                                                     \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"Everything\",\n"                                                                             \
	"      \"Effect\": \"Allow\",\n"                                                                               \
	"      \"Action\": \"*\",\n"                                                                                   \
	"      \"Resource\": \"*\"\n"                                                                                  \
	"    },\n"                                                                                                     \
	"    {\n"                                                                                                      \
	"      \"Sid\": \"ConnectAsItself\",\n"                                                                        \
	"      \"Effect\": \"Deny\",\n"                                                                                \
	"      \"Action\": \"iot:Connect\",\n"                                                                         \
	"      \"Resource\": \"*\",\n"                                                                                 \
	"      \"Condition\": {\"StringNotLike\": {\"iot:ClientId\": \"operator-%s-*\"}}\n"                            \
	"    }"
#define DOCUMENT(statements)                                                                                           \
	"{\n"                                                                                                          \
	"  \"Version\": \"2012-10-17\",\n"                                                                             \
	"  \"Statement\": [\n" statements "\n  ]\n}\n"
#define AND ",\n"

enum { TOPICS_ROOM = 700 }; /* what the rest of the document leaves of IOT_POLICY_SIZE_MAX */

static enum iot_status deploy(struct iot_cloud *cloud, const char *name, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf topics = IOT_BUF_INIT(2 * TOPICS_ROOM);
	enum iot_status status = operator_device_topics(cloud, TOPICS_ROOM, &topics, err);

	if (status == IOT_OK)
		*ret = iot_strf(DOCUMENT(CONNECT AND LISTEN AND SPEAK AND NOT_AS_DEVICE AND READ AND DEPLOY), name,
				iot_buf_str(&topics));
	return status;
}

enum iot_status operator_role_document(struct iot_cloud *cloud, const char *role, const char *name, char **ret,
				       struct iot_error *err)
{
	if (strcmp(role, "deploy") == 0)
		return deploy(cloud, name, ret, err);
	if (strcmp(role, "admin") == 0)
		*ret = iot_strf(DOCUMENT(ADMINISTER), name);
	else if (strcmp(role, "observe") == 0)
		*ret = iot_strf(DOCUMENT(CONNECT AND LISTEN AND READ), name);
	else
		return iot_fail(err, IOT_USAGE, "there is no role '%s': admin, deploy and observe are possible", role);
	return IOT_OK;
}
