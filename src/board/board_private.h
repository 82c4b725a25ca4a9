/* The dialects, and the descriptions that come with the program. */
#ifndef IOTCTL_BOARD_PRIVATE_H
#define IOTCTL_BOARD_PRIVATE_H

#include "iotctl/board_description.h"

extern const struct iot_board_ops iot_board_expresslink, iot_board_freertos, iot_board_nrf91, iot_board_sim7600,
	iot_board_swd, iot_board_zephyr;

/* Generated from descriptions/NAME.json, in the order of iot_board_shipped. */
extern const char *const board_shipped_texts[];

/*
 * Trust of boards that hold one endpoint and one root CA: the new ones take the place of the old, which whoever asked keeps
 * meanwhile (trust.c). They go by the dialect's own look, install and commit.
 */
IOT_CHECK enum iot_status board_trust_stage(const struct iot_board_ops *ops, void *self,
					    const struct iot_board_trust *trust, struct iot_error *err);
IOT_CHECK enum iot_status board_trust_settle(const struct iot_board_ops *ops, void *self,
					     const struct iot_board_trust *trust, bool keep, struct iot_error *err);

/* The bytes of the first PEM block with this label, appended; false: there is none, or it is no base64 (pem.c). */
bool board_pem_decode(const char *text, const char *label, struct iot_buf *der);

#endif
