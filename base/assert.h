/* base/assert.h: internal invariants, checked in release builds too. Never on input. */
#ifndef MSUB_BASE_ASSERT_H
#define MSUB_BASE_ASSERT_H
_Noreturn void msub__invariant_failed(const char *what, const char *file, int line);
#define MSUB__INVARIANT(cond) ((cond) ? (void)0 : msub__invariant_failed(#cond, __FILE__, __LINE__))
#endif
