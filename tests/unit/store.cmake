# The stores by themselves, with the suite that every implementation runs.
if(MSUB_BUILD_TESTS)
  add_library(msub_store_test STATIC $<TARGET_OBJECTS:msub_store> $<TARGET_OBJECTS:msub_store_keys>)
  set_target_properties(msub_store_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_store_test PUBLIC msub_foundation PRIVATE msub_flags)
endif()

msub_criterion_test(unit.store TIER quick SOURCES test_store.c ../support/store_suite.c ../support/count_mem.c LIBS msub_store_test)
if(TARGET unit.store)
  target_include_directories(unit.store PRIVATE ../support)
endif()

if(MSUB_BUILD_TESTS AND TARGET msub_store_disk)
  add_library(msub_store_disk_test STATIC $<TARGET_OBJECTS:msub_store_disk>)
  set_target_properties(msub_store_disk_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_store_disk_test PUBLIC msub_store_test PkgConfig::LMDB Threads::Threads PRIVATE msub_flags)
  msub_criterion_test(unit.store-disk TIER quick SOURCES test_store_disk.c ../support/store_suite.c ../support/disk_kit.c ../support/count_mem.c
    LIBS msub_store_disk_test)
  if(TARGET unit.store-disk)
    target_include_directories(unit.store-disk PRIVATE ../support)
  endif()
endif()
if(TARGET msub_store_disk_test)
  msub_program_test(unit.store-threads TIER quick SOURCES store_threads.c ../support/store_suite.c ../support/disk_kit.c ../support/count_mem.c
    LIBS msub_store_disk_test)
  target_include_directories(unit.store-threads PRIVATE ../support)
endif()
