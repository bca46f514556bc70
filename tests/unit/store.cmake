# The stores by themselves, with the suite that every implementation runs.
if(MSUB_BUILD_TESTS)
  add_library(msub_store_test STATIC $<TARGET_OBJECTS:msub_store>)
  set_target_properties(msub_store_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_store_test PUBLIC msub_foundation PRIVATE msub_flags)
endif()

msub_criterion_test(unit.store TIER quick SOURCES test_store.c ../support/store_suite.c ../support/count_mem.c LIBS msub_store_test)
if(TARGET unit.store)
  target_include_directories(unit.store PRIVATE ../support)
endif()
