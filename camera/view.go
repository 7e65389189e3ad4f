package camera

import (
	"fmt"
	"image"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cypherface/edge/internal/picture"
)

// viewParameters are those of every camera, whatever its driver takes: how its
// picture is turned and which part of it is looked at.
var viewParameters = []string{"rotate", "mirror", "roi", "zoom"}

// view is what is made of each frame before anybody sees it, in this order.
type view struct {
	rotate int             // degrees clockwise: 0, 90, 180, 270
	mirror bool            // left to right
	roi    image.Rectangle // in percent of the upright picture; empty: all of it
	zoom   bool            // look closer at the face

	turned *image.YCbCr
	aim    aim
}

// takeView reads the parameters of the view and returns u without them.
func takeView(u *url.URL) (*view, *url.URL, error) {
	v := &view{}
	query, rest, err := Split(u, viewParameters...)
	if err != nil {
		return v, u, err
	}
	for name, values := range query {
		if err := set(u, name, values, v.set); err != nil {
			return v, u, err
		}
	}
	return v, rest, nil
}

// Split takes parameters out of u, and leaves the rest of its query as it is
// written: for some cameras on the network the order matters.
func Split(u *url.URL, names ...string) (taken url.Values, rest *url.URL, err error) {
	var mine, other []string
	for _, field := range strings.Split(u.RawQuery, "&") {
		if name, _, _ := strings.Cut(field, "="); slices.Contains(names, name) {
			mine = append(mine, field)
		} else {
			other = append(other, field)
		}
	}
	if taken, err = url.ParseQuery(strings.Join(mine, "&")); err != nil {
		return nil, u, badURL(u, err.Error(), "write % in a value as %25")
	}
	left := *u
	left.RawQuery = strings.Join(other, "&")
	return taken, &left, nil
}

func (v *view) set(name, value string) (hint string) {
	switch name {
	case "rotate":
		n, err := strconv.Atoi(value)
		if v.rotate = n; err != nil || n != 0 && n != 90 && n != 180 && n != 270 {
			return "write rotate=90, 180 or 270: degrees clockwise"
		}
	case "mirror":
		if v.mirror = value == "1"; !v.mirror && value != "0" {
			return "write mirror=1 or mirror=0"
		}
	case "roi":
		var ok bool
		if v.roi, ok = percent(value); !ok {
			return "write roi=LEFT,TOP,WIDTH,HEIGHT in percent of the picture, such as roi=25,0,50,100"
		}
	case "zoom":
		if v.zoom = value == "face"; !v.zoom && value != "off" {
			return "write zoom=face or zoom=off"
		}
	}
	return ""
}

// percent reads four numbers that lie in a picture of 100 by 100.
func percent(value string) (r image.Rectangle, ok bool) {
	var n [4]int
	fields := strings.Split(value, ",")
	if len(fields) != len(n) {
		return r, false
	}
	for i, f := range fields {
		v, err := strconv.Atoi(f)
		if err != nil || v < 0 || v > 100 {
			return r, false
		}
		n[i] = v
	}
	r = image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3])
	return r, n[2] >= 5 && n[3] >= 5 && r.In(image.Rect(0, 0, 100, 100))
}

// orientation is the number that EXIF has for the view, 1 for as it is.
func (v *view) orientation() int {
	upright, mirrored := map[int]int{0: 1, 90: 6, 180: 3, 270: 8}, map[int]int{0: 2, 90: 5, 180: 4, 270: 7}
	if v.mirror {
		return mirrored[v.rotate]
	}
	return upright[v.rotate]
}

// of is the view of a frame. Parts of it keep their place: the bounds of the
// result lie where they lie in the upright picture.
func (v *view) of(img *image.YCbCr) *image.YCbCr {
	if o := v.orientation(); o != 1 {
		v.turned = picture.Turn(img, o, v.turned)
		img = v.turned
	}
	part := img.Rect
	if !v.roi.Empty() {
		w, h := img.Rect.Dx(), img.Rect.Dy()
		part = even(image.Rect(v.roi.Min.X*w/100, v.roi.Min.Y*h/100, v.roi.Max.X*w/100, v.roi.Max.Y*h/100))
	}
	if v.zoom {
		part = v.aim.part(part)
	}
	if part == img.Rect || part.Empty() { // a picture of a few pixels has no parts
		return img
	}
	return img.SubImage(part).(*image.YCbCr)
}

// even moves a rectangle's corners to where chroma samples begin, whatever the
// subsampling.
func even(r image.Rectangle) image.Rectangle {
	return image.Rect(r.Min.X&^3, r.Min.Y&^1, r.Max.X&^3, r.Max.Y&^1)
}

// String says what is done to the picture, in the words of the URL.
func (v *view) String() string {
	var all []string
	if v.rotate != 0 {
		all = append(all, fmt.Sprintf("rotate=%d", v.rotate))
	}
	if v.mirror {
		all = append(all, "mirror=1")
	}
	if r := v.roi; !r.Empty() {
		all = append(all, fmt.Sprintf("roi=%d,%d,%d,%d", r.Min.X, r.Min.Y, r.Dx(), r.Dy()))
	}
	if v.zoom {
		all = append(all, "zoom=face")
	}
	return strings.Join(all, " ")
}

// Subject is the face that a reader of frames looks at.
type Subject struct {
	Box  image.Rectangle // in the coordinates of the frame; empty: nobody is there
	Luma float64         // mean of the face, 0..1
}

// Follower is a Source that does better when it is told about each frame where
// the face was: it exposes for it, or looks closer. Follow may be called while
// Next waits, and does not wait itself.
type Follower interface{ Follow(Subject) }

// Limits of looking closer. The whole picture is looked at again and again, so
// that nobody comes in unseen beside a face that is followed.
const (
	zoomRoom  = 4.0 // sides of the part, in sides of the face
	zoomMost  = 4   // times that the part is smaller than the picture
	zoomWhole = 5   // each so many frames the whole picture
	zoomLost  = 10  // frames without a face until it is given up
	zoomEase  = 0.3 // share of the way that the part goes in a frame
)

// aim follows a face with a part of the picture. It is a pure step function.
type aim struct {
	face    image.Rectangle // where it was; empty: nowhere
	missed  int             // frames without it
	frames  int
	at      image.Rectangle // the part of the last close look
	closeUp bool            // the last frame was one
}

// see is told where the face was.
func (a *aim) see(face image.Rectangle) {
	if !face.Empty() {
		a.face, a.missed = face, 0
		return
	}
	if a.missed++; a.missed >= zoomLost {
		a.face, a.at = image.Rectangle{}, image.Rectangle{}
	}
}

// part is what to look at of a picture.
func (a *aim) part(whole image.Rectangle) image.Rectangle {
	a.frames++
	a.closeUp = !a.face.Empty() && a.frames%zoomWhole != 0
	if !a.closeUp {
		return whole
	}
	// As wide as the picture is, so that the detector's square is used alike.
	h := int(zoomRoom * float64(max(a.face.Dy(), a.face.Dx()*whole.Dy()/whole.Dx())))
	h = min(max(h, whole.Dy()/zoomMost), whole.Dy())
	w := h * whole.Dx() / whole.Dy()
	c := a.face.Min.Add(a.face.Max).Div(2)
	want := image.Rect(c.X-w/2, c.Y-h/2, c.X-w/2+w, c.Y-h/2+h)
	if !a.at.Empty() {
		want = blend(a.at, want, zoomEase)
	}
	a.at = even(inside(want, whole))
	return a.at
}

func blend(a, b image.Rectangle, share float64) image.Rectangle {
	mix := func(x, y int) int { return x + int(share*float64(y-x)) }
	return image.Rect(mix(a.Min.X, b.Min.X), mix(a.Min.Y, b.Min.Y), mix(a.Max.X, b.Max.X), mix(a.Max.Y, b.Max.Y))
}

// inside moves r into the picture, and cuts off what is still outside.
func inside(r, whole image.Rectangle) image.Rectangle {
	shift := image.Pt(max(whole.Min.X-r.Min.X, 0)-max(r.Max.X-whole.Max.X, 0), max(whole.Min.Y-r.Min.Y, 0)-max(r.Max.Y-whole.Max.Y, 0))
	return r.Add(shift).Intersect(whole)
}
