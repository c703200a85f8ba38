# The UEFI loader: $(BUILD)/boot/BOOTX64.EFI. Needs tools/setup/deps.mk and $(BUILD).
#
# gnu-efi's way: link a shared object that starts with gnu-efi's relocating entry code, then have objcopy turn
# it into a PE file. Functions of the firmware are called directly: its Microsoft ABI is in their types.

LOADER_DIR := $(BUILD)/boot
LOADER_EFI := $(LOADER_DIR)/BOOTX64.EFI
LOADER_C := config config_keys console elf firmware main memory_map page_tables pages serial volume
LOADER_S := enter
LOADER_LIB_C := guest_config value
LOADER_OBJS := $(addprefix $(LOADER_DIR)/,$(addsuffix .o,$(LOADER_C) $(LOADER_S) $(LOADER_LIB_C)))

LOADER_WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
LOADER_CFLAGS = -std=gnu11 $(LOADER_CFLAGS_BASE) $(LOADER_WARNINGS) -DGNU_EFI_USE_MS_ABI $(LIBC_INC_FLAGS) \
    -isystem $(GNUEFI_INC) -isystem $(GNUEFI_INC)/x86_64 -isystem $(INIH_INC) -I. -MMD -MP

# objcopy leaves everything else behind: debug information, symbols, comments.
LOADER_SECTIONS := .text .sdata .data .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

$(LOADER_DIR)/%.o: boot/%.c boot/build.mk $(NEWLIB_LOADER_LIB) $(INIH_LOADER_LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc $(LOADER_CFLAGS) -c -o $@ $<

# The helpers of kernel/lib that the loader shares.
$(LOADER_DIR)/%.o: kernel/lib/%.c boot/build.mk $(NEWLIB_LOADER_LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@gcc $(LOADER_CFLAGS) -c -o $@ $<

$(LOADER_DIR)/%.o: boot/%.S boot/build.mk | $(PACKAGES_STAMP)
	@mkdir -p $(@D)
	@echo "  AS      $@"
	@gcc $(LOADER_CFLAGS) -c -o $@ $<

$(LOADER_DIR)/loader.so: $(LOADER_OBJS) boot/loader.lds $(INIH_LOADER_LIB) $(NEWLIB_LOADER_LIB) boot/build.mk
	@echo "  LD      $@"
	@ld -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined --gc-sections --build-id=none \
	    -T boot/loader.lds -o $@ $(GNUEFI_CRT0) $(LOADER_OBJS) \
	    $(INIH_LOADER_LIB) $(NEWLIB_LOADER_LIB) $(GNUEFI_LIBS)

$(LOADER_EFI): $(LOADER_DIR)/loader.so
	@echo "  EFI     $@"
	@objcopy $(addprefix -j ,$(LOADER_SECTIONS)) --target=efi-app-x86_64 --subsystem=10 $< $@

-include $(LOADER_OBJS:.o=.d)
