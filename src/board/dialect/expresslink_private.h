/* Between the files of this dialect: the conversation, and asking and telling a key. */
#ifndef IOTCTL_EXPRESSLINK_PRIVATE_H
#define IOTCTL_EXPRESSLINK_PRIVATE_H

#include "iotctl/at.h"
#include "iotctl/board.h"
#include "iotctl/cert.h"
#include "iotctl/expresslink.h"

#define EL_ANSWER_MS 10000 /* data sheets give up to some seconds for writing to flash */
#define EL_TRIES 3         /* of reading or writing a value until it is whole */
#define EL_CHECK_WIRES "check speed, ground and wires of the serial line"

struct el {
	struct iot_serial *serial;
	struct iot_at at;
	struct iot_board_options options;
	int answer_ms;   /* how long an ordinary command may take */
	char about[129]; /* "vendor - model"; "" until it was heard */
};

/* A call that must succeed; a refusal becomes the fault. `doing`: "read the endpoint". */
IOT_CHECK enum iot_status el_call(struct el *el, const struct iot_at_call *call, const char *doing,
				  struct iot_at_answer *answer, struct iot_error *err);
/* The fault of a refusal: IOT_VERIFY for ERR23, IOT_BOARD otherwise; err->code is "ERRn". */
enum iot_status el_refused(const struct iot_at_answer *answer, const char *doing, struct iot_error *err);

/* The value of a key, unescaped, appended. *ret_known (may be NULL) false: the module has no such key, not a fault
 * then. */
IOT_CHECK enum iot_status el_read(struct el *el, const char *key, struct iot_buf *value, bool *ret_known,
				  struct iot_error *err);
/* A certificate of the module, whatever form it gives it in; *ret NULL: it holds none. */
IOT_CHECK enum iot_status el_read_cert(struct el *el, const char *key, struct iot_cert **ret, struct iot_error *err);

/* What it says of its connection, the same twice. */
IOT_CHECK enum iot_status el_read_status(struct el *el, struct iot_el_status *ret, struct iot_error *err);
IOT_CHECK enum iot_status el_identify(void *self, struct iot_board_identity *ret, struct iot_error *err);
IOT_CHECK enum iot_status el_look(void *self, struct iot_board_item *item, struct iot_error *err);
IOT_CHECK enum iot_status el_install(void *self, struct iot_board_item *item, struct iot_error *err);

#endif
