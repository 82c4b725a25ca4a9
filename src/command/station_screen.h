/* The operator's screen as text with ANSI sequences; pure, so that tests can look at it. */
#ifndef IOTCTL_COMMAND_STATION_SCREEN_H
#define IOTCTL_COMMAND_STATION_SCREEN_H

#include "iotctl/buf.h"
#include "iotctl/station.h"

/* Append one whole picture of at most width x height cells; it begins at the top left corner and clears what is left. */
void station_screen_draw(const struct iot_station_view *view, int width, int height, bool color, struct iot_buf *out);
/* To the other screen of the terminal, and back. */
#define STATION_SCREEN_ENTER "\033[?1049h\033[?25l\033[2J"
#define STATION_SCREEN_LEAVE "\033[?25h\033[?1049l"

#endif
