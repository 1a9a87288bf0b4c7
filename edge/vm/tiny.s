# builtin:tiny, a whole guest in one boot sector for QEMU's q35 machine.
#
# Says that it is ready on the first serial port and then echoes what is typed there. Enter answers
# with a line number, which is memory and therefore goes back with a snapshot and starts again with
# a reboot. Ctrl-R reboots, ctrl-D powers off, and so does the ACPI power button. It sleeps between
# the ticks of the clock and the bytes of the port.
#
# as --32 -o tiny.o tiny.s && ld -m elf_i386 -Ttext 0x7c00 -o tiny.elf tiny.o &&
# objcopy -O binary -j .text tiny.elf tiny.bin

        .intel_syntax noprefix
        .code16
        .text
        .globl  _start

        .set    COM1, 0x3f8
        .set    PCI_ADDRESS, 0xcf8
        .set    PCI_DATA, 0xcfc
        .set    RESET_CONTROL, 0xcf9
        .set    ICH9_PM_BASE, 0x8000f840  # Bus 0, device 31, function 0, register 0x40.
        .set    POWER_BUTTON, 0x100       # Bit 8 of PM1_STS and of PM1_EN (ACPI 4.8.3.1).
        .set    SLEEP_NOW, 0x2000         # SLP_EN of PM1_CNT; sleep type 0 is "off" here.
        .set    SERIAL_VECTOR, 0x0c * 4   # The firmware leaves IRQ 4 at interrupt 0x0c.

_start:
        cli
        xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7c00
        cld
        mov     word ptr [SERIAL_VECTOR], offset on_serial
        mov     word ptr [SERIAL_VECTOR + 2], ax
        ljmp    0, offset open_port

open_port:
        mov     dx, COM1 + 1
        mov     al, 1                     # An interrupt for every byte that comes in.
        out     dx, al
        inc     dx
        mov     al, 7                     # Queues on, and empty.
        out     dx, al
        inc     dx
        mov     al, 3                     # Eight bits, no parity, one stop bit.
        out     dx, al
        inc     dx
        mov     al, 0x0b                  # Ready to talk; let interrupts out.
        out     dx, al
        in      al, 0x21
        and     al, 0xef                  # IRQ 4 may pass the interrupt controller.
        out     0x21, al

arm_power_button:
        mov     dx, PCI_ADDRESS
        mov     eax, ICH9_PM_BASE
        out     dx, eax
        mov     dx, PCI_DATA
        in      eax, dx
        and     ax, 0xff80
        mov     di, ax                    # The base of the power registers stays in di.
        mov     dx, di
        mov     ax, POWER_BUTTON
        out     dx, ax                    # Writing the bit forgets an earlier press.
        inc     dx
        inc     dx
        out     dx, ax
        xor     bp, bp                    # The line number stays in bp.
        mov     si, offset banner
        call    print

wait_for_news:
        cli
        mov     dx, di
        in      ax, dx
        test    ax, POWER_BUTTON
        jnz     power_off
        mov     dx, COM1 + 5
        in      al, dx
        test    al, 1
        jnz     read_byte
        sti                               # Takes effect after hlt began: no byte is slept over.
        hlt
        jmp     wait_for_news

read_byte:
        sti
        mov     dx, COM1
        in      al, dx
        cmp     al, 4                     # ctrl-D
        je      power_off
        cmp     al, 18                    # ctrl-R
        je      reboot
        cmp     al, 13
        je      answer
        call    put
        jmp     wait_for_news

answer:
        mov     si, offset new_line
        call    print
        inc     bp
        mov     ax, bp
        shr     al, 4
        call    put_digit
        mov     ax, bp
        and     al, 15
        call    put_digit
        mov     si, offset prompt
        call    print
        jmp     wait_for_news

power_off:
        cli
        mov     si, offset farewell
        call    print
        lea     dx, [di + 4]
        mov     ax, SLEEP_NOW
        out     dx, ax
        hlt
        jmp     power_off

reboot:
        cli
        mov     dx, RESET_CONTROL
        mov     al, 2
        out     dx, al
        mov     al, 6
        out     dx, al
        hlt
        jmp     reboot

put_digit:                                # Prints al, 0 to 15, as a hexadecimal digit.
        add     al, '0'
        cmp     al, '9'
        jbe     put
        add     al, 'a' - '9' - 1

put:                                      # Prints al when the port has room.
        push    ax
        mov     dx, COM1 + 5
port_is_full:
        in      al, dx
        test    al, 0x20
        jz      port_is_full
        pop     ax
        mov     dx, COM1
        out     dx, al
        ret

print:                                    # Prints the text at si up to its zero.
        lodsb
        test    al, al
        jz      printed
        call    put
        jmp     print
printed:
        ret

on_serial:                                # Only wakes the processor.
        push    ax
        mov     al, 0x20
        out     0x20, al
        pop     ax
        iret

banner:
        .ascii  "\r\nheadwater tiny ready\r\n"
        .asciz  "Enter counts, ctrl-R reboots, ctrl-D powers off\r\n00> "
new_line:
        .asciz  "\r\n"
prompt:
        .asciz  "> "
farewell:
        .asciz  "\r\npower off\r\n"

        .org    510
        .word   0xaa55
