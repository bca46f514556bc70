/* tests/vectors/score_params.h: score parameters out of JSON, by the reference's names in snake case. */
#ifndef MSUB_TESTS_SCORE_PARAMS_H
#define MSUB_TESTS_SCORE_PARAMS_H
#include <jansson.h>
#include "meshsub/score.h"

/* false: something that ours cannot even say (a negative duration). */
bool vec_topic_score(const json_t *j, msub_topic_score *t);
bool vec_score_params(const json_t *j, msub_score_params *p, msub_cidr *allow, size_t cap); /* without its topics */
size_t vec_address(const char *text, uint8_t out[16]); /* an IP address: 4 or 16 bytes */
void vec_score_thresholds(const json_t *j, msub_score_thresholds *t);
#endif
