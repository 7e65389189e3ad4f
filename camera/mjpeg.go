package camera

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"sync"
)

// Markers of a JPEG stream (ITU-T T.81, table B.1).
const (
	markTEM  = 0x01
	markDHT  = 0xc4
	markRST0 = 0xd0
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
)

// maxJPEG is the largest compressed frame of a clip.
const maxJPEG = 16 << 20

// Errors of the JPEG splitter.
var (
	errNoJPEG    = errors.New("no JPEG")
	errTruncated = errors.New("JPEG ends early")
)

// CompleteJPEG returns the JPEG that b begins with, fit for any decoder. What
// cameras and loopback drivers put behind it is cut off, and the Huffman tables
// that Motion JPEG may leave out are put in. A transfer that broke off lacks the
// end: that is an error, so that half a picture is never decoded as a grey one.
// The result shares memory with b where it can.
func CompleteJPEG(b []byte) ([]byte, error) {
	l, err := layOut(b)
	if err != nil {
		return nil, err
	}
	if l.tables || l.scan == 0 {
		return b[:l.end], nil
	}
	tables := usualTables()
	whole := make([]byte, 0, l.end+len(tables))
	return append(append(append(whole, b[:l.scan]...), tables...), b[l.scan:l.end]...), nil
}

// usualTables is a DHT segment with the tables of ITU-T T.81, annex K.3, which a
// Motion JPEG without tables means. Go's encoder uses these and no others.
var usualTables = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), nil); err != nil {
		return nil
	}
	all := b.Bytes()
	for i := 2; ; {
		next, m, err := jpegSegment(all, i)
		if err != nil || m == markEOI {
			return nil
		}
		if m == markDHT {
			return all[i:next]
		}
		i = next
	}
})

// layout says where the parts of a JPEG lie.
type layout struct {
	end    int  // behind EOI
	scan   int  // of the first SOS; 0: none
	tables bool // there are Huffman tables before it
}

// layOut walks over the JPEG that b begins with, from SOI to EOI.
func layOut(b []byte) (l layout, err error) {
	if len(b) < 2 {
		return l, errTruncated
	}
	if b[0] != 0xff || b[1] != markSOI {
		return l, errNoJPEG
	}
	for i := 2; ; {
		next, m, err := jpegSegment(b, i)
		switch {
		case err != nil:
			return l, err
		case m == markEOI:
			l.end = next
			return l, nil
		case m == markDHT:
			l.tables = true
		case m == markSOS && l.scan == 0:
			l.scan = i
		}
		i = next
	}
}

// jpegSegment steps over the marker at i, with its segment and, after SOS, the
// entropy-coded data.
func jpegSegment(b []byte, i int) (next int, marker byte, err error) {
	if i >= len(b) {
		return 0, 0, errTruncated
	}
	if b[i] != 0xff {
		return 0, 0, fmt.Errorf("%w: byte %#02x where a marker belongs", errNoJPEG, b[i])
	}
	for i < len(b) && b[i] == 0xff { // fill bytes are allowed before a marker
		i++
	}
	if i == len(b) {
		return 0, 0, errTruncated
	}
	switch m := b[i]; {
	case m == markEOI, m == markTEM, m >= markRST0 && m < markSOI:
		return i + 1, m, nil // these stand alone
	case m == 0 || m == markSOI:
		return 0, 0, fmt.Errorf("%w: marker %#02x inside", errNoJPEG, m)
	case i+3 > len(b):
		return 0, 0, errTruncated
	default:
		n := int(b[i+1])<<8 | int(b[i+2])
		if n < 2 {
			return 0, 0, fmt.Errorf("%w: segment of %d bytes", errNoJPEG, n)
		}
		if next = i + 1 + n; m == markSOS {
			next, err = scanEnd(b, next)
		}
		return next, m, err
	}
}

// scanEnd finds the marker that ends entropy-coded data: 0xff followed by
// neither a stuffed zero nor a restart marker.
func scanEnd(b []byte, i int) (int, error) {
	for i < len(b) {
		j := bytes.IndexByte(b[i:], 0xff)
		if j < 0 || i+j+1 >= len(b) {
			break
		}
		i += j
		if m := b[i+1]; m != 0 && m != 0xff && (m < markRST0 || m > markRST0+7) {
			return i, nil
		}
		i++
	}
	return 0, errTruncated
}

// span is a piece of a file.
type span struct {
	off int64
	n   int
}

// indexMJPEG finds the frames of concatenated JPEGs. Bytes between frames are
// skipped, a last frame that was cut off is left out.
func indexMJPEG(r io.Reader) ([]span, error) {
	var spans []span
	var off int64 // of what the scanner hands to split
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxJPEG)
	sc.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		n, frame, err := splitJPEG(data, atEOF)
		off += int64(n)
		if frame != nil {
			spans = append(spans, span{off - int64(len(frame)), len(frame)})
		}
		return n, frame, err
	})
	for sc.Scan() {
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("split JPEG frames: %w", err)
	}
	return spans, nil
}

// ScanJPEG returns a scanner of the JPEGs in a stream, one after another with
// whatever between them. They are whole, of at most 16 MiB, and lent.
func ScanJPEG(r io.Reader) *bufio.Scanner {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxJPEG)
	sc.Split(splitJPEG)
	return sc
}

// splitJPEG is the bufio.SplitFunc of concatenated JPEGs.
func splitJPEG(data []byte, atEOF bool) (advance int, frame []byte, err error) {
	for at := 0; ; at++ {
		start := bytes.Index(data[at:], []byte{0xff, markSOI})
		if start < 0 {
			if atEOF {
				return len(data), nil, nil
			}
			return max(len(data)-1, 0), nil, nil // the last byte may begin a marker
		}
		at += start
		l, err := layOut(data[at:])
		if err == nil {
			return at + l.end, data[at : at+l.end], nil
		}
		if errors.Is(err, errTruncated) && !atEOF {
			return at, nil, nil // ask for more
		}
	}
}
