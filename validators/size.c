#include "meshsub/validators.h"

static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  const msub_size_rule *rule = ud;
  (void)from, (void)token, (void)job;
  size_t n = msub_data(m).n;
  return n < rule->min || n > rule->max ? rule->verdict : MSUB_ACCEPT;
}

msub_validator_opts msub_size_validator(const msub_size_rule *rule) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.name = "size";
  o.fn = judge;
  o.ud = (void *)(uintptr_t)rule;
  return o;
}
