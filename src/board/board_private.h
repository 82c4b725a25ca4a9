/* The dialects, for the registry. */
#ifndef IOTCTL_BOARD_PRIVATE_H
#define IOTCTL_BOARD_PRIVATE_H

#include "iotctl/board.h"

extern const struct iot_board_ops iot_board_expresslink;

#endif
