#include "pubsub/engine.h"
#include <string.h>

void msub_engine_opts_init(msub_engine_opts *o) {
  memset(o, 0, sizeof *o);
  o->size = sizeof *o;
  o->verify_cost_ns = 40000;
  o->seen_ttl_ns = MSUB__SEEN_TTL_S * MSUB__S;
  o->seen_bytes = MSUB__SEEN_BYTES;
  o->validate_timeout_ns = MSUB__VALIDATE_TIMEOUT_S * MSUB__S;
  o->pending_messages = MSUB__PENDING_MESSAGES;
  o->pending_bytes = MSUB__PENDING_BYTES;
  o->max_rpc = MSUB__RPC_BYTES;
  o->max_message = MSUB__MESSAGE_BYTES;
  o->graylisted_weight = 2;
  o->validation = (msub_validation_opts){ .pending = MSUB__PENDING_MESSAGES, .pending_per_topic = MSUB__VALIDATING_TOPIC };
}
