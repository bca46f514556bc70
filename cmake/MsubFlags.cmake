# Flags of every target: C11, hidden symbols, no contraction of floating point, a picky list of warnings.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

add_library(msub_flags INTERFACE)
target_compile_options(msub_flags INTERFACE
  -ffp-contract=off -fno-math-errno
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
  -Wcast-align -Wcast-qual -Wundef -Wfloat-equal -Wpointer-arith -Wwrite-strings -Wformat=2 -Wnull-dereference
  -Wimplicit-fallthrough -Wunused-result -Wold-style-definition)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(msub_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init)
endif()
if(MSUB_WERROR)
  target_compile_options(msub_flags INTERFACE -Werror)
endif()
if(MSUB_SANITIZE)
  target_compile_options(msub_flags INTERFACE -fsanitize=${MSUB_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(msub_flags INTERFACE -fsanitize=${MSUB_SANITIZE})
endif()
target_include_directories(msub_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
