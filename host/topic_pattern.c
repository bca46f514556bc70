/* host/topic_pattern.c: topics by a regular expression. */
#include <meshsub/host.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/limits.h"

struct msub_topic_pattern { regex_t re; };

int msub_topic_pattern_new(const char *pattern, msub_topic_pattern **out, char *why, size_t cap) {
  char whole[MSUB__HOST_PATTERN + 5];
  if (why && cap) *why = 0;
  if (strlen(pattern) > MSUB__HOST_PATTERN) return MSUB_ERR_LIMIT;
  msub_topic_pattern *p = malloc(sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  /* Compiled by itself first: "a)(b" is no pattern, whatever stands around it. */
  int rc = regcomp(&p->re, pattern, REG_EXTENDED | REG_NOSUB);
  if (rc == 0) {
    regfree(&p->re);
    (void)snprintf(whole, sizeof whole, "^(%s)$", pattern);
    rc = regcomp(&p->re, whole, REG_EXTENDED | REG_NOSUB);
  }
  if (rc == 0) {
    *out = p;
    return MSUB_OK;
  }
  if (why && cap) (void)regerror(rc, &p->re, why, cap);
  free(p);
  return rc == REG_ESPACE ? MSUB_ERR_NOMEM : MSUB_ERR_INVAL;
}

bool msub_topic_pattern_allows(void *ud, msub_bytes topic, msub_peer peer) {
  const msub_topic_pattern *p = ud;
  char name[MSUB__HOST_PATTERN_TOPIC + 1];
  (void)peer;
  if (topic.n > MSUB__HOST_PATTERN_TOPIC || (topic.n && memchr(topic.p, 0, topic.n))) return false;
  if (topic.n) memcpy(name, topic.p, topic.n);
  name[topic.n] = 0;
  return regexec(&p->re, name, 0, NULL, 0) == 0;
}

void msub_topic_pattern_free(msub_topic_pattern *p) {
  if (!p) return;
  regfree(&p->re);
  free(p);
}
