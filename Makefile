# Telepod: `make run` teleports a guest between two pods, `make test` tests everything, `make bench` measures.
#
# This file reads from top to bottom: what is built, what is run, what is tested. Each room has its own build.mk;
# all that comes from Debian is in tools/setup/deps.mk. Everything that is made lies under build/.

BUILD := build
GUEST ?= clock
PLATFORM ?= bochs
LINK ?= lan
FAULTS ?=
LAB := python3 -m tools.lab
TESTS := python3 -m tests

all: image tools

include tools/setup/deps.mk
include boot/build.mk
include kernel/build.mk
include guests/build.mk
include guests/linux/build.mk
include tools/telepod/build.mk
include tools/lab/cable/build.mk
include tests/build.mk

# ---- what a pod boots from: one folder that is its EFI system partition -------------------------------------------

ESP := $(BUILD)/esp
IMAGE := $(ESP)/EFI/BOOT/BOOTX64.EFI $(ESP)/telepod/kernel.elf

.PHONY: all image tools run lab run-qemu test unit fuzz-smoke check bench clean help

image: $(IMAGE) $(GUEST_IMAGES) $(ESP)/telepod/telepod.ini $(GUEST_NAMES:%=$(ESP)/telepod/%.elf)
tools: $(TELEPOD) $(CABLE_LIB) $(CABLE_MODULE)

$(ESP)/EFI/BOOT/BOOTX64.EFI: $(LOADER_EFI)
	@mkdir -p $(@D) && cp $< $@
$(ESP)/telepod/kernel.elf: $(KERNEL_DIR)/kernel.elf
	@mkdir -p $(@D) && cp $< $@

$(ESP)/telepod/telepod.ini: boot/telepod.ini
	@mkdir -p $(@D) && cp $< $@
$(ESP)/telepod/%.elf: $(BUILD)/guests/%.elf
	@mkdir -p $(@D) && cp $< $@

# ---- run -----------------------------------------------------------------------------------------------------------

run: image tools $(BOCHS) $(if $(filter linux,$(GUEST)),linux-guest)
	@$(LAB) run --guest $(GUEST) --platform $(PLATFORM) --link $(LINK) --faults '$(FAULTS)'

# Two pods for work by hand, until Ctrl-C.
lab: image tools $(BOCHS)
	@$(LAB) lab --link $(LINK)

run-qemu: image tools
	@$(LAB) run-qemu

# ---- test ----------------------------------------------------------------------------------------------------------

# A test that does not compile is a test that fails: the others run all the same.
test:
	@$(MAKE) -s --no-print-directory -j2 image tools linux-guest $(BOCHS)
	-@$(MAKE) -s --no-print-directory -k -j2 $(UNIT_TESTS) $(FUZZERS)
	@$(TESTS) $(if $(T),--only '$(T)')

bench: image tools linux-guest $(BOCHS)
	@$(TESTS) bench

clean:
	rm -rf $(filter-out $(DEPS),$(wildcard $(BUILD)/*))

help:
	@sed -n '/^run:/,$$!d; s/^\([a-z-]*\):.*/  make \1/p' Makefile
