/* Score profiles: files with the parameters of score.h. docs/cli.md has the names. */
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H
#include "cli/yaml.h"
#include <meshsub/score.h>

#define PROFILE_TOPICS 4095 /* as many as a router scores */

typedef struct profile {
  msub_score_opts opts; /* points into the rest */
  msub_topic_score other; /* of other_topics, if the file has it */
  msub_cidr allow[64];
  msub_score_of_topic *topics;
  char **names;
  size_t n, n_names;
} profile;

/* What the file says. No parameter is judged yet; a key that is absent is 0. */
bool profile_read(msub_bytes text, profile *p, doc_fault *f);
void profile_free(profile *p);
/* NULL: every parameter is valid; else the rule that is broken. where: "topic "x": first_message_deliveries_decay 1.5", names as in the file. */
const char *profile_fault(const profile *p, char where[512]);
#endif
