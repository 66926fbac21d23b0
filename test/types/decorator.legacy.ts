import { WithNamedLock } from 'typeorm-named-lock'

// As Nest declares them.
declare function applyDecorators(
  ...decorators: (ClassDecorator | MethodDecorator | PropertyDecorator)[]
): <F extends Function, Y>(target: object | F, key?: string | symbol, descriptor?: TypedPropertyDescriptor<Y>) => void
declare function Get(path?: string): MethodDecorator
declare function Injectable(): ClassDecorator

const Both = () => applyDecorators(WithNamedLock('x') as MethodDecorator, Get())
@Injectable()
export class Legacy {
  @Both() async viaApply(): Promise<void> {}
  @Get() @WithNamedLock('x') async route(): Promise<void> {}
  @WithNamedLock('x') @Get() async route2(): Promise<void> {}
  @WithNamedLock('x') async 42(): Promise<void> {}
  ov(id: number): Promise<number>
  ov(id: string): Promise<string>
  // @ts-expect-error checked against the last overload
  @WithNamedLock((id: number) => `${id}`) async ov(id: any): Promise<any> {}
  ov2(id: number): Promise<number>
  ov2(id: string): Promise<string>
  // NOT an error, though the first overload does not fit
  @WithNamedLock((id: string) => `${id}`) async ov2(id: any): Promise<any> {}
  ov3(id: number): Promise<number>
  ov3(id: string): Promise<string>
  @WithNamedLock((id: number | string) => `${id}`) async ov3(id: any): Promise<any> {}
  ov4(id: number): Promise<number>
  ov4(id: string): Promise<string | undefined>
  // NOT an error, though it should be: the last overload counts
  @WithNamedLock('x', 0, { onBusy: 'skip' }) async ov4(id: any): Promise<any> {}
  ov5(id: number): Promise<number>
  ov5(id: string): void
  // @ts-expect-error the last overload returns no promise
  @WithNamedLock('x') ov5(id: any): any {}
}
