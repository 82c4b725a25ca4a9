/* The behaviours that are compiled in, from behaviours/NAME.json. */
#ifndef IOTCTL_SIM_BEHAVIOUR_SHIPPED_H
#define IOTCTL_SIM_BEHAVIOUR_SHIPPED_H

extern const char *const sim_behaviours_shipped[]; /* names, NULL-terminated */
extern const char *const sim_behaviour_texts[];    /* in the same order */

#endif
