# Host tests: every tests/unit/test_*.c is a cmocka program under ASan and UBSan, every tests/fuzz/fuzz_*.c a libFuzzer target.
# Both link against one archive of all the pure sources, the very files that the kernel and the loader are built from.

PURE_SRCS := $(wildcard kernel/lib/*.c) \
    boot/config.c boot/config_keys.c boot/elf.c boot/memory_map.c boot/page_tables.c $(INIH_SRC) \
    kernel/acpi_tables.c kernel/pci_route.c \
    mm/buddy.c mm/ept.c mm/ept_tracking.c \
    vmx/fields.c vmx/controls.c vmx/cpuid.c vmx/cpuid_build.c vmx/cpuid_features.c vmx/policy.c vmx/sections.c \
    vmx/squeeze.c vmx/state_codec.c vmx/vm_image.c vmx/reset.c vmx/mtrr.c vmx/start_state.c \
    vmx/guest_walk.c vmx/platform_parts.c vmx/acpi/guest_acpi.c \
    $(wildcard vmx/devices/*.c vmx/devices/*/*.c vmx/loader/*.c) \
    net/announce.c net/frame_queue.c net/switch_addresses.c net/switch_table.c \
    $(ZYDIS_SRCS) vmx/mmio_decode.c vmx/mmio_execute.c \
    net/port/ack_merge.c net/port/arena.c net/port/checksum.c \
    net/control/command.c net/control/command_table.c net/control/words.c net/control/line.c \
    $(GUEST_PURE) \
    $(addprefix net/teleport/,clock.c flight.c guest_message.c handover.c held_pages.c messages.c stop_policy.c wire.c) \
    tools/lab/cable/records.c tools/lab/cable/fabric.c tools/lab/cable/capture.c

HOST_WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
HOST_CFLAGS = -std=gnu11 -g -O1 -msse4.2 -I. -isystem $(INIH_INC) $(INIH_FLAGS) $(HOST_WARNINGS) -MMD -MP
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

UNIT_DIR := $(BUILD)/tests/unit
FUZZ_DIR := $(BUILD)/tests/fuzz
UNIT_TESTS := $(patsubst tests/unit/%.c,$(UNIT_DIR)/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(FUZZ_DIR)/%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_LIB := $(UNIT_DIR)/libpure.a
FUZZ_LIB := $(FUZZ_DIR)/libpure.a

# Foreign code is not ours to warn about.
FOREIGN_OBJS := $(patsubst %.c,pure/%.o,$(INIH_SRC) $(ZYDIS_SRCS))
$(FOREIGN_OBJS:%=$(UNIT_DIR)/%) $(FOREIGN_OBJS:%=$(FUZZ_DIR)/%): HOST_WARNINGS := -w
$(UNIT_DIR)/pure/vmx/acpi/%.o $(FUZZ_DIR)/pure/vmx/acpi/%.o: HOST_CFLAGS += -I$(GUEST_ACPI)
$(UNIT_DIR)/pure/vmx/acpi/guest_acpi.o $(FUZZ_DIR)/pure/vmx/acpi/guest_acpi.o: $(GUEST_ACPI_TABLES)
ZYDIS_USERS := $(patsubst %.c,pure/%.o,$(ZYDIS_SRCS) vmx/mmio_decode.c)
$(ZYDIS_USERS:%=$(UNIT_DIR)/%) $(ZYDIS_USERS:%=$(FUZZ_DIR)/%): HOST_CFLAGS += $(ZYDIS_FLAGS)
$(ZYDIS_USERS:%=$(UNIT_DIR)/%) $(ZYDIS_USERS:%=$(FUZZ_DIR)/%): $(ZYCORE_HEADERS)

$(UNIT_DIR)/pure/%.o: %.c | $(PACKAGES_STAMP) $(SOURCES_STAMP)
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@gcc $(HOST_CFLAGS) $(SANITIZE) -c -o $@ $<

$(FUZZ_DIR)/pure/%.o: %.c | $(PACKAGES_STAMP) $(SOURCES_STAMP)
	@mkdir -p $(@D)
	@echo "  FUZZCC  $<"
	@clang $(HOST_CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -c -o $@ $<

$(UNIT_LIB): $(PURE_SRCS:%.c=$(UNIT_DIR)/pure/%.o)
	@rm -f $@ && ar rcs $@ $^
$(FUZZ_LIB): $(PURE_SRCS:%.c=$(FUZZ_DIR)/pure/%.o)
	@rm -f $@ && ar rcs $@ $^

$(UNIT_DIR)/%: tests/unit/%.c $(UNIT_LIB)
	@echo "  HOSTLD  $@"
	@gcc $(HOST_CFLAGS) $(SANITIZE) -o $@ $< $(UNIT_LIB) -lcmocka
$(FUZZ_DIR)/%: tests/fuzz/%.c $(FUZZ_LIB)
	@echo "  FUZZLD  $@"
	@clang $(HOST_CFLAGS) $(SANITIZE) -fsanitize=fuzzer -o $@ $< $(FUZZ_LIB)

.PHONY: check unit fuzz-smoke seeds
# Layers, headers that compile alone and the like: they need the libraries' headers, and nothing else.
check: $(NEWLIB_HEADERS) $(SOURCES_STAMP)
	@$(TESTS) --only '^check/'

unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do $$t > $$t.log 2>&1 && echo "  ok    $$t" || { echo "  FAIL  $$t"; cat $$t.log; exit 1; }; done

FUZZ_SECONDS ?= 5
fuzz-smoke: $(FUZZERS)
	@for f in $(FUZZERS); do c=tests/fuzz/corpus/$${f##*/fuzz_}; mkdir -p $$f.new; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$$f. $$f.new $$c > $$f.log 2>&1 && echo "  ok    $$f" || \
	    { echo "  FAIL  $$f"; tail -40 $$f.log; exit 1; }; done

# The seeds of fuzz_state and fuzz_wire, from the encoders as they are now: after a section or a message has changed.
MADE_SEEDS := tests/fuzz/corpus/state tests/fuzz/corpus/wire
seeds: $(FUZZ_DIR)/seeds
	@rm -f $(MADE_SEEDS:%=%/*) && $< tests/fuzz/corpus && ls -l $(MADE_SEEDS)
$(FUZZ_DIR)/seeds: tests/fuzz/seeds.c $(UNIT_LIB)
	@mkdir -p $(@D)
	@echo "  HOSTLD  $@"
	@gcc $(HOST_CFLAGS) $(SANITIZE) -o $@ $< $(UNIT_LIB)

-include $(wildcard $(foreach d,$(UNIT_DIR) $(FUZZ_DIR),$(d)/*.d $(d)/pure/*/*.d $(d)/pure/*/*/*.d $(d)/pure/*/*/*/*.d))
