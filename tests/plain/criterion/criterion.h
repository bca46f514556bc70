/* tests/plain/criterion/criterion.h: as much of Criterion's interface as the tests of this tree use, for machines that have no Criterion:
 * each test is a process of its own, and the first assertion that fails ends it. See runner.c. */
#ifndef MSUB_TESTS_PLAIN_CRITERION_H
#define MSUB_TESTS_PLAIN_CRITERION_H
#pragma GCC system_header /* macros without their variable arguments, as the original takes them */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct plain_options {
  void (*init)(void);
  void (*fini)(void);
  int nothing;    /* so that there is always one */
  double timeout; /* not kept: an emulator is slow, and ctest has its own */
} plain_options;
typedef struct plain_test {
  const char *suite, *name;
  void (*fn)(void);
  const plain_options *options, *of_suite; /* of_suite: found when it runs */
  struct plain_test *next;
} plain_test;
void plain_add(plain_test *t, bool suite);
_Noreturn void plain_failed(const char *file, int line, const char *what, const char *format, ...);

#define Test(s, n, ...)                                                                                     \
  static void plain_##s##_##n(void);                                                                        \
  static const plain_options plain_options_##s##_##n = { .nothing = 0, __VA_ARGS__ };                       \
  static plain_test plain_test_##s##_##n = { #s, #n, plain_##s##_##n, &plain_options_##s##_##n, NULL, NULL }; \
  __attribute__((constructor)) static void plain_enter_##s##_##n(void) { plain_add(&plain_test_##s##_##n, false); } \
  static void plain_##s##_##n(void)
#define TestSuite(s, ...)                                                                                   \
  static const plain_options plain_suite_options_##s = { .nothing = 0, __VA_ARGS__ };                       \
  static plain_test plain_suite_##s = { #s, NULL, NULL, &plain_suite_options_##s, NULL, NULL };             \
  __attribute__((constructor)) static void plain_enter_suite_##s(void) { plain_add(&plain_suite_##s, true); } \
  struct plain_suite_ends_##s

#define PLAIN(cond, what, ...)                                                        \
  do {                                                                                \
    if (!(cond)) plain_failed(__FILE__, __LINE__, what, "" __VA_ARGS__);              \
  } while (0)
#define PLAIN_CMP(a, op, b, ...) PLAIN((a)op(b), #a " " #op " " #b, __VA_ARGS__)
#define cr_assert(cond, ...) PLAIN(cond, #cond, __VA_ARGS__)
#define cr_assert_not(cond, ...) PLAIN(!(cond), "not " #cond, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) PLAIN_CMP(a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) PLAIN_CMP(a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) PLAIN_CMP(a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) PLAIN_CMP(a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) PLAIN_CMP(a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) PLAIN_CMP(a, >=, b, __VA_ARGS__)
#define cr_assert_null(a, ...) PLAIN((a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_assert_not_null(a, ...) PLAIN((a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) PLAIN(strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) PLAIN(memcmp(a, b, n) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) PLAIN(fabs((a) - (b)) <= (e), #a " is about " #b, __VA_ARGS__)
#define cr_expect cr_assert
#define cr_expect_eq cr_assert_eq
#define cr_expect_lt cr_assert_lt
#define cr_expect_leq cr_assert_leq
#define cr_expect_null cr_assert_null
#define cr_expect_str_eq cr_assert_str_eq
#define cr_expect_arr_eq cr_assert_arr_eq
#define cr_log_info(...) (void)printf(__VA_ARGS__)
#endif
