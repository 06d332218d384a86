package adaptivebatch

import (
	"iter"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// cutMetrics moves the first n data points to a new value. A metric whose points are divided is described in both.
func cutMetrics(md pmetric.Metrics, n int) pmetric.Metrics {
	out := pmetric.NewMetrics()
	md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		if n == 0 {
			return false
		}
		to := out.ResourceMetrics().AppendEmpty()
		if count := resourcePointCount(rm); count <= n {
			n -= count
			rm.MoveTo(to)
			return true
		}
		copyMetricsResource(rm, to)
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			if n == 0 {
				return false
			}
			to := to.ScopeMetrics().AppendEmpty()
			if count := scopePointCount(sm); count <= n {
				n -= count
				sm.MoveTo(to)
				return true
			}
			copyMetricsScope(sm, to)
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				if n == 0 {
					return false
				}
				to := to.Metrics().AppendEmpty()
				if count := pointCount(m); count <= n {
					n -= count
					m.MoveTo(to)
					return true
				}
				cutPoints(m, to, n)
				n = 0
				return false
			})
			return false
		})
		return false
	})
	return out
}

func copyMetricsResource(from, to pmetric.ResourceMetrics) {
	from.Resource().CopyTo(to.Resource())
	to.SetSchemaUrl(from.SchemaUrl())
}

func copyMetricsScope(from, to pmetric.ScopeMetrics) {
	from.Scope().CopyTo(to.Scope())
	to.SetSchemaUrl(from.SchemaUrl())
}

func copyMetricHeader(from, to pmetric.Metric) {
	to.SetName(from.Name())
	to.SetDescription(from.Description())
	to.SetUnit(from.Unit())
	from.Metadata().CopyTo(to.Metadata())
}

func placeInMetrics(md pmetric.Metrics, n, credit int) (place, bool) {
	marshaler := &pmetric.ProtoMarshaler{}
	return placeIn(each(md.ResourceMetrics().All(), func(rm pmetric.ResourceMetrics) container {
		resource := newContainer(rm, resourcePointCount(rm), marshaler.ResourceMetricsSize, pmetric.NewResourceMetrics, copyMetricsResource)
		resource.inner = each(rm.ScopeMetrics().All(), func(sm pmetric.ScopeMetrics) container {
			scope := newContainer(sm, scopePointCount(sm), marshaler.ScopeMetricsSize, pmetric.NewScopeMetrics, copyMetricsScope)
			scope.inner = each(sm.Metrics().All(), func(m pmetric.Metric) container {
				metric := newContainer(m, pointCount(m), marshaler.MetricSize, pmetric.NewMetric, copyMetricHeader)
				metric.sizes = pointSizes(m)
				return metric
			})
			return scope
		})
		return resource
	}), n, credit)
}

func pointSizes(m pmetric.Metric) iter.Seq[int] {
	marshaler := &pmetric.ProtoMarshaler{}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return each(m.Gauge().DataPoints().All(), marshaler.NumberDataPointSize)
	case pmetric.MetricTypeSum:
		return each(m.Sum().DataPoints().All(), marshaler.NumberDataPointSize)
	case pmetric.MetricTypeHistogram:
		return each(m.Histogram().DataPoints().All(), marshaler.HistogramDataPointSize)
	case pmetric.MetricTypeExponentialHistogram:
		return each(m.ExponentialHistogram().DataPoints().All(), marshaler.ExponentialHistogramDataPointSize)
	case pmetric.MetricTypeSummary:
		return each(m.Summary().DataPoints().All(), marshaler.SummaryDataPointSize)
	default:
		return func(func(int) bool) {}
	}
}

// cutPoints moves the first n data points of a metric that has more.
func cutPoints(m, to pmetric.Metric, n int) {
	copyMetricHeader(m, to)
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		movePoints(m.Gauge().DataPoints(), to.SetEmptyGauge().DataPoints(), n)
	case pmetric.MetricTypeSum:
		sum := to.SetEmptySum()
		sum.SetAggregationTemporality(m.Sum().AggregationTemporality())
		sum.SetIsMonotonic(m.Sum().IsMonotonic())
		movePoints(m.Sum().DataPoints(), sum.DataPoints(), n)
	case pmetric.MetricTypeHistogram:
		histogram := to.SetEmptyHistogram()
		histogram.SetAggregationTemporality(m.Histogram().AggregationTemporality())
		movePoints(m.Histogram().DataPoints(), histogram.DataPoints(), n)
	case pmetric.MetricTypeExponentialHistogram:
		histogram := to.SetEmptyExponentialHistogram()
		histogram.SetAggregationTemporality(m.ExponentialHistogram().AggregationTemporality())
		movePoints(m.ExponentialHistogram().DataPoints(), histogram.DataPoints(), n)
	case pmetric.MetricTypeSummary:
		movePoints(m.Summary().DataPoints(), to.SetEmptySummary().DataPoints(), n)
	case pmetric.MetricTypeEmpty: // has no points, so never more than n
	}
}

// points is a slice of data points of any type, and point one of them.
type points[P point[P]] interface {
	RemoveIf(func(P) bool)
	AppendEmpty() P
}

type point[P any] interface{ MoveTo(P) }

func movePoints[P point[P]](from, to points[P], n int) {
	from.RemoveIf(func(p P) bool {
		if n == 0 {
			return false
		}
		n--
		p.MoveTo(to.AppendEmpty())
		return true
	})
}

func resourcePointCount(rm pmetric.ResourceMetrics) int {
	n := 0
	for _, sm := range rm.ScopeMetrics().All() {
		n += scopePointCount(sm)
	}
	return n
}

func scopePointCount(sm pmetric.ScopeMetrics) int {
	n := 0
	for _, m := range sm.Metrics().All() {
		n += pointCount(m)
	}
	return n
}

func pointCount(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	default:
		return 0
	}
}
