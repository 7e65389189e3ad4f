package main

import (
	"fmt"
	"io"

	"rsc.io/qr"
)

// quiet is the margin of a QR code, in modules, that ISO/IEC 18004 asks for.
const quiet = 4

// printQR draws text as a QR code, two rows of modules in a line of characters,
// dark on light whatever the terminal's colours.
func printQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("draw QR code: %w", err)
	}
	halves := [2][2]string{{" ", "▄"}, {"▀", "█"}} // [upper is dark][lower is dark]
	dark := map[bool]int{true: 1}
	for y := -quiet; y < code.Size+quiet; y += 2 {
		line := "\x1b[30;107m"
		for x := -quiet; x < code.Size+quiet; x++ {
			line += halves[dark[code.Black(x, y)]][dark[code.Black(x, y+1)]]
		}
		if _, err := fmt.Fprintln(w, line+"\x1b[0m"); err != nil {
			return err
		}
	}
	return nil
}
