package engine

import "math"

// SecondLook says which faces are embedded twice, the second time mirrored and,
// in bad light, with the light evened; the template is then the mean of both.
// A second look costs a second run of the embedder.
type SecondLook int

// The choices; docs/accuracy.md has what each brings and costs.
const (
	LookWhenHard SecondLook = iota // faces in bad light only: about one in twenty everyday portraits
	LookOnce                       // none
	LookTwice                      // all
)

// Limits of light within which one look is enough. Of everyday portraits about
// one in a hundred lies beyond each.
const (
	darkMean, brightMean = 80.0, 185.0 // of the face's luma, 0..255
	flatSpread           = 20.0        // standard deviation of it
	unevenSide           = 0.28        // brighter half against darker half: (a−b)/(a+b)
	noisyLuma            = 1.5         // standard deviation of the noise, 0..255
)

// What evened light looks like: the mean and spread of everyday portraits.
const (
	evenMean, evenSpread = 115.0, 48.0
	leastSpread          = 3.0 // below that there is only noise to stretch
)

// light is how an aligned face is lit.
type light struct {
	mean, spread float64 // of the luma, 0..255
	side         float64 // difference of the halves as a share of their sum
	noise        float64 // standard deviation
}

// bad reports whether the embedder is likely to err for the light alone.
func (l light) bad() bool {
	return l.mean < darkMean || l.mean > brightMean || l.spread < flatSpread || l.side > unevenSide || l.noise > noisyLuma
}

// lightOn measures the light on the face in the embedder's filled input.
func (e *Engine) lightOn(in []float32) light {
	eyes, mouth := middle(e.cfg.Template[0], e.cfg.Template[1]), middle(e.cfg.Template[3], e.cfg.Template[4])
	n := float64(e.size)
	drop := (mouth.Y - eyes.Y) * n
	// An ellipse from the brow to below the mouth, as wide as the cheeks.
	cx, cy := eyes.X*n, eyes.Y*n+0.365*drop
	rx, ry := 0.94*distance(e.cfg.Template[0], e.cfg.Template[1])*n, 1.075*drop
	luma := e.lumaOf(in)
	var sum, squares, left, right, noise, count, looked float64
	for v := max(1, int(cy-ry)); v < min(e.size-1, int(cy+ry)+1); v++ {
		dy := (float64(v) + 0.5 - cy) / ry
		reach := rx * math.Sqrt(max(0, 1-dy*dy))
		from, to := max(1, int(cx-reach+0.5)), min(e.size-1, int(cx+reach+0.5))
		row := luma[v*e.size:][:e.size]
		for u := from; u < to; u++ {
			y := float64(row[u])
			sum, squares = sum+y, squares+y*y
			if float64(u)+0.5 < cx {
				left += y
			} else {
				right += y
			}
		}
		count += float64(max(0, to-from))
		// A quarter of the places tells as much of the noise.
		for u := from; v%2 == 0 && u < to; u += 2 {
			noise += math.Abs(roughness(luma[(v-1)*e.size+u-1:], e.size))
			looked++
		}
	}
	if count == 0 {
		return light{}
	}
	mean := sum / count
	return light{
		mean:   mean,
		spread: math.Sqrt(max(0, squares/count-mean*mean)),
		side:   math.Abs(left-right) / max(left+right, 1),
		noise:  math.Sqrt(math.Pi/2) / 6 * noise / max(looked, 1),
	}
}

// roughness is the difference of two Laplacians at the middle of the 3×3
// values that y begins with: blind to edges, so that its mean tells of noise
// (Immerkær, Fast Noise Variance Estimation, 1996).
func roughness(y []float32, stride int) float64 {
	a, b, c := y[:3], y[stride:][:3], y[2*stride:][:3]
	return float64(a[0] - 2*a[1] + a[2] - 2*b[0] + 4*b[1] - 2*b[2] + c[0] - 2*c[1] + c[2])
}

// lumaOf is the luma, 0..255, of the embedder's filled input.
func (e *Engine) lumaOf(in []float32) []float32 {
	prep := e.cfg.Embedder.Prep
	r, b := float32(0.299), float32(0.114)
	if prep.BGR {
		r, b = b, r
	}
	r, g, b := r/prep.Scale, 0.587/prep.Scale, b/prep.Scale
	black := prep.Bias / prep.Scale
	luma := make([]float32, len(in)/3)
	for i := range luma {
		px := in[3*i:][:3]
		luma[i] = r*px[0] + g*px[1] + b*px[2] - black
	}
	return luma
}

// even brings the light of a filled input to what the embedder knows best. A
// face that is too bright is left: what is clipped does not come back.
func (l light) even(in []float32, prep Prep) {
	if !l.bad() || l.mean > brightMean {
		return
	}
	gain := float32(evenSpread / max(l.spread, leastSpread))
	least, most := prep.Bias, 255*prep.Scale+prep.Bias
	shift := (evenMean-float32(l.mean)*gain)*prep.Scale + prep.Bias*(1-gain)
	for i, v := range in {
		in[i] = min(max(v*gain+shift, least), most)
	}
}

// mirror turns a side×side input left to right.
func mirror(in []float32, side int) {
	for v := range side {
		row := in[3*v*side:][:3*side]
		for a, b := 0, 3*(side-1); a < b; a, b = a+3, b-3 {
			for c := range 3 {
				row[a+c], row[b+c] = row[b+c], row[a+c]
			}
		}
	}
}
