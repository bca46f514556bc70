/* crypto/der.h: a strict reader of the little DER that keys and signatures are made of: definite minimal lengths, at most 64 KiB, nothing
 * allocated. What it does not take never reaches a library's parser. */
#ifndef MSUB_CRYPTO_DER_H
#define MSUB_CRYPTO_DER_H
#include "meshsub/base.h"

#define MSUB__DER_INTEGER 0x02u
#define MSUB__DER_BIT_STRING 0x03u
#define MSUB__DER_SEQUENCE 0x30u

/* Takes one value with this tag off the front of *in; its content is a view. false: another tag, a length that is not minimal, too little. */
bool msub__der_take(msub_bytes *in, unsigned tag, msub_bytes *content);
/* Takes an INTEGER that is not negative; its magnitude without leading zeros (zero: empty). false also when it is padded. */
bool msub__der_take_unsigned(msub_bytes *in, msub_bytes *magnitude);
#endif
