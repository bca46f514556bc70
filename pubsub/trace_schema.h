/* pubsub/trace_schema.h: numbers of trace records beyond the enum of events. */
#ifndef MSUB_PUBSUB_TRACE_SCHEMA_H
#define MSUB_PUBSUB_TRACE_SCHEMA_H
#include "meshsub/world.h"

/* Types from here on, and fields of an event from 4 more on, are ours alone. */
#define MSUB__TRACE_OURS 64u
#define MSUB__TRACE_SENT 13u /* of the format, but no event of ours */
#define MSUB__TRACE_REASON 64u /* in rejectMessage and dropRPC: the name of our reason */
#define MSUB__TRACE_BYTES (16u << 20) /* of a record that is read */

/* The type of a record; its event stands in field type + 4. */
static inline unsigned msub__trace_type(msub_event_kind kind) {
  return kind <= MSUB_T_PRUNE ? (unsigned)kind : MSUB__TRACE_OURS + (unsigned)kind;
}
#endif
