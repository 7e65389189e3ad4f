package accuracy

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// A Curve is one line of a DET plot.
type Curve struct {
	Name   string
	Result *Result
}

// The plot area in the drawing's units, and what its axes show.
const (
	detWidth             = 760.0
	detLeft, detTop      = 84.0, 64.0
	detRight, detBottom  = 730.0, 536.0
	detMinFMR, detMaxFMR = 1e-5, 0.4
	detMinFNMR           = 1e-3
	detMaxFNMR           = 0.4
)

// The colours tell apart for the colour-blind (Okabe and Ito).
var detColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"}

// DET writes a detection error trade-off plot as SVG that needs nothing else:
// FNMR over FMR on normal-deviate axes (Martin and others, 1997), on which two
// normally distributed score sets give a straight line, with the points of
// [FMRs] marked and the line of equal error.
func DET(w io.Writer, title string, curves ...Curve) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13">`+"\n", detWidth, detBottom+70+22*float64(len(curves)))
	fmt.Fprintf(&b, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", html.EscapeString(title))
	fmt.Fprintf(&b, `<text x="%g" y="34" font-size="18" font-weight="600" fill="#222">%s</text>`+"\n", detLeft, html.EscapeString(title))
	detAxes(&b)
	for i, c := range curves {
		colour := detColours[i%len(detColours)]
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2.2" stroke-linejoin="round"/>`+"\n", detPath(c.Result), colour)
		for _, p := range c.Result.Points {
			if p.FNMR < detMinFNMR || p.FNMR > detMaxFNMR {
				continue
			}
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#fff" stroke="%s" stroke-width="2"/>`+"\n", detX(p.FMR), detY(p.FNMR), colour)
		}
		detLegend(&b, i, colour, c)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func detAxes(b *strings.Builder) {
	line := func(x1, y1, x2, y2 float64, style string) {
		fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" %s/>`+"\n", x1, y1, x2, y2, style)
	}
	const grid = `stroke="#e3e6ea"`
	for _, p := range []float64{1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, 0.4} {
		x := detX(p)
		line(x, detTop, x, detBottom, grid)
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle" fill="#555">%s</text>`+"\n", x, detBottom+20, percent(p))
	}
	for _, p := range []float64{1e-3, 2e-3, 5e-3, 1e-2, 0.02, 0.05, 0.1, 0.2, 0.4} {
		y := detY(p)
		line(detLeft, y, detRight, y, grid)
		fmt.Fprintf(b, `<text x="%g" y="%.1f" text-anchor="end" fill="#555">%s</text>`+"\n", detLeft-8, y+4.5, percent(p))
	}
	line(detX(detMinFNMR), detY(detMinFNMR), detX(detMaxFMR), detY(detMaxFNMR), `stroke="#9aa1a9" stroke-dasharray="5 5"`)
	fmt.Fprintf(b, `<rect x="%g" y="%g" width="%g" height="%g" fill="none" stroke="#8a9099"/>`+"\n", detLeft, detTop, detRight-detLeft, detBottom-detTop)
	fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="middle" fill="#222">false match rate</text>`+"\n", (detLeft+detRight)/2, detBottom+46)
	fmt.Fprintf(b, `<text transform="translate(24 %g) rotate(-90)" text-anchor="middle" fill="#222">false non-match rate</text>`+"\n", (detTop+detBottom)/2)
}

// detLegend stands below the plot, where it hides no curve.
func detLegend(b *strings.Builder, i int, colour string, c Curve) {
	y := detBottom + 70 + 22*float64(i)
	fmt.Fprintf(b, `<path d="M%g %gh26" stroke="%s" stroke-width="3"/>`+"\n", detLeft, y, colour)
	fmt.Fprintf(b, `<text x="%g" y="%g" fill="#222">%s, EER %s</text>`+"\n", detLeft+36, y+4.5, html.EscapeString(c.Name), percent(c.Result.EER))
}

// detPath is the staircase of both rates. Its corners lie at the scores of the
// mates: between two of them only the false matches grow. Corners closer than a
// unit of the drawing are left out.
func detPath(r *Result) string {
	var b strings.Builder
	lastX, lastY := math.Inf(-1), math.Inf(-1)
	for _, m := range r.scores.mates {
		t := float64(m.score)
		fmr, fnmr := r.FMR(t), r.FNMR(t)
		if fmr > detMaxFMR {
			break
		}
		x, y := detX(fmr), detY(fnmr)
		if fmr < detMinFMR || fnmr > detMaxFNMR || math.Hypot(x-lastX, y-lastY) < 1 {
			continue
		}
		format := "H%.1fV%.1f"
		if b.Len() == 0 {
			format = "M%.1f %.1f"
		}
		fmt.Fprintf(&b, format, x, y)
		lastX, lastY = x, y
	}
	return b.String()
}

func detX(fmr float64) float64 {
	return detLeft + (detRight-detLeft)*along(fmr, detMinFMR, detMaxFMR)
}

func detY(fnmr float64) float64 {
	return detBottom - (detBottom-detTop)*along(fnmr, detMinFNMR, detMaxFNMR)
}

// along is where p lies between lo and hi on a normal-deviate axis, 0 to 1.
func along(p, lo, hi float64) float64 {
	p = min(max(p, lo), hi)
	return (probit(p) - probit(lo)) / (probit(hi) - probit(lo))
}

// probit is the inverse of the standard normal distribution function.
func probit(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// percent prints a rate with the digits it needs: 0.0001 is 0.01 %.
func percent(p float64) string {
	return fmt.Sprintf("%.3g %%", p*100)
}
