import { useData } from 'vitepress'
import DefaultTheme from 'vitepress/theme-without-fonts'
import { defineComponent, h, onMounted, watch } from 'vue'
import './style.css'

/** The default layout. Its front page lacks a main landmark, unlike its other pages. */
const Layout = defineComponent(() => {
  const { page, frontmatter } = useData()
  const markMain = () => {
    const content = document.getElementById('VPContent')
    if (frontmatter.value.layout === 'home') content?.setAttribute('role', 'main')
    else content?.removeAttribute('role')
  }
  onMounted(() => {
    markMain()
    watch(() => page.value.relativePath, markMain, { flush: 'post' })
  })
  return () => h(DefaultTheme.Layout)
})

export default { extends: DefaultTheme, Layout }
